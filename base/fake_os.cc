// The operating system as a table in memory.
#include "base/fake_os.h"

#include <algorithm>

namespace gantry {

namespace {

class FakeMapping final : public MappedFile {
 public:
  explicit FakeMapping(std::string bytes) : bytes_(std::move(bytes)) {}
  std::span<const std::byte> bytes() const override {
    return std::as_bytes(std::span(bytes_.data(), bytes_.size()));
  }

 private:
  std::string bytes_;
};

tl::unexpected<Error> missing(const std::string& path) {
  return fail(Code::kNotFound, "cannot find " + path + ": No such file or directory",
              "check the path");
}

bool below(const std::string& path, const std::string& dir) {
  return path.size() > dir.size() + 1 && path.starts_with(dir) && path[dir.size()] == '/';
}

}  // namespace

void FakeOs::fail_at(uint64_t n, Error error) { failures_[operations_ + n] = std::move(error); }

std::optional<Error> FakeOs::step() {
  const auto found = failures_.find(operations_++);
  if (found == failures_.end()) return std::nullopt;
  Error error = found->second;
  failures_.erase(found);
  return error;
}

Result<std::string> FakeOs::read_file(const std::string& path, Bytes max) {
  if (auto error = step()) return fail(*error);
  const auto found = files.find(path);
  if (found == files.end()) return missing(path);
  if (found->second.size() > max.n) return fail(Code::kTooLarge, path + " is too large");
  return found->second;
}

Result<std::unique_ptr<MappedFile>> FakeOs::map_file(const std::string& path) {
  if (auto error = step()) return fail(*error);
  const auto found = files.find(path);
  if (found == files.end()) return missing(path);
  return std::make_unique<FakeMapping>(found->second);
}

Result<void> FakeOs::read_pieces(const std::string& path,
                                 const std::function<void(std::string_view)>& on_piece) {
  if (auto error = step()) return fail(*error);
  const auto found = files.find(path);
  if (found == files.end()) return missing(path);
  on_piece(found->second);
  return {};
}

Result<FileInfo> FakeOs::stat(const std::string& path) {
  if (auto error = step()) return fail(*error);
  FileInfo info;
  if (const auto found = files.find(path); found != files.end()) {
    info.size = {found->second.size()};
    info.mode = 0600;
    return info;
  }
  info.is_dir = dirs.contains(path) ||
                std::ranges::any_of(files, [&](const auto& f) { return below(f.first, path); });
  if (!info.is_dir) return missing(path);
  info.mode = 0700;
  return info;
}

Result<std::vector<std::string>> FakeOs::list(const std::string& dir) {
  if (auto error = step()) return fail(*error);
  std::set<std::string> names;
  for (const auto& [path, text] : files) {
    if (!below(path, dir)) continue;
    const std::string rest = path.substr(dir.size() + 1);
    names.insert(rest.substr(0, rest.find('/')));
  }
  if (names.empty() && !dirs.contains(dir)) return missing(dir);
  return std::vector<std::string>(names.begin(), names.end());
}

Result<void> FakeOs::write_file(const std::string& path, std::string_view bytes, uint32_t) {
  if (auto error = step()) return fail(*error);
  files[path] = std::string(bytes);
  return {};
}

Result<void> FakeOs::copy_file(const std::string& from, const std::string& to) {
  if (auto error = step()) return fail(*error);
  if (!files.contains(from)) return fail(Code::kNotFound, "there is no file " + from);
  files[to] = files[from];
  return {};
}

Result<void> FakeOs::move_file(const std::string& from, const std::string& to) {
  if (Result<void> copied = copy_file(from, to); !copied) return copied;
  files.erase(from);
  return {};
}

Result<void> FakeOs::make_dirs(const std::string& path, uint32_t) {
  if (auto error = step()) return fail(*error);
  dirs.insert(path);
  return {};
}

Result<void> FakeOs::remove(const std::string& path) {
  if (auto error = step()) return fail(*error);
  std::erase_if(files, [&](const auto& f) { return f.first == path || below(f.first, path); });
  std::erase_if(dirs, [&](const auto& d) { return d == path || below(d, path); });
  return {};
}

Result<Bytes> FakeOs::free_space(const std::string&) {
  if (auto error = step()) return fail(*error);
  return space;
}

Result<std::unique_ptr<Process>> FakeOs::spawn(const ProcessSpec& spec) {
  if (auto error = step()) return fail(*error);
  if (!on_spawn) return fail(Code::kNotFound, "no program is scripted");
  return on_spawn(spec);
}

Result<Bytes> FakeOs::pss(int pid) {
  if (auto error = step()) return fail(*error);
  const auto found = pss_of.find(pid);
  if (found == pss_of.end()) return fail(Code::kNotFound, "no such process");
  return found->second;
}

Result<uint64_t> FakeOs::start_time(int pid) {
  if (auto error = step()) return fail(*error);
  const auto found = start_of.find(pid);
  if (found == start_of.end()) return fail(Code::kNotFound, "no such process");
  return found->second;
}

void FakeOs::kill_group(int pid, uint64_t start_ticks, int) {
  (void)step();
  const auto process = start_of.find(pid);
  if (process == start_of.end() || process->second != start_ticks) return;
  start_of.erase(process);
  pss_of.erase(pid);
}

Result<Millis> FakeOs::cpu_time(int pid) {
  if (auto error = step()) return fail(*error);
  const auto used = cpu_of.find(pid);
  if (used == cpu_of.end()) return fail(Code::kNotFound, "no such process");
  return used->second;
}

std::optional<std::string> FakeOs::env(const std::string& name) {
  const auto found = environment.find(name);
  if (found == environment.end()) return std::nullopt;
  return found->second;
}

}  // namespace gantry
