// Supervision of one process, the same for every engine.
#include "worker/child.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "base/limits.h"

namespace gantry {

namespace {

constexpr int kNiceness = 5;
// Above the desktop's programs (0 to 300, by systemd and the browsers): a model is loaded again in
// seconds, a person's work is not.
constexpr int kOomScore = 400;
constexpr uint64_t kTailMax = 32 << 10;  // bytes of log looked at for an error
constexpr size_t kLineMax = 240;         // of each line shown
constexpr size_t kNameMax = 80;
constexpr Millis kWaitSlice{100};  // how long alive() from another thread may have to wait

// FNV-1a: tells names apart, guards nothing.
uint32_t checksum(std::string_view text) {
  uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.';
}

std::string printable(std::string_view line) {
  std::string out(line.substr(0, kLineMax));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  out.erase(0, out.find_first_not_of(' '));
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

Result<void> rotate(Os& os, const std::string& path) {
  const Result<FileInfo> info = os.stat(path);
  if (!info || info->size <= kWorkerLogMax) return {};
  {
    const Result<std::unique_ptr<MappedFile>> file = os.map_file(path);
    if (!file) return fail(file.error());
    const std::span<const std::byte> all = (*file)->bytes();
    const std::span<const std::byte> kept = all.last(std::min<size_t>(all.size(), kWorkerLogMax.n));
    const std::string_view text(reinterpret_cast<const char*>(kept.data()), kept.size());
    if (Result<void> ok = os.write_file(path + ".1", text, 0600); !ok) return ok;
  }
  return os.remove(path);
}

}  // namespace

std::string worker_log_path(const std::string& log_dir, std::string_view model) {
  std::string name(model.substr(0, kNameMax));
  std::ranges::replace_if(name, [](char c) { return !is_plain(c); }, '_');
  if (name.empty() || name.starts_with('.') || name.starts_with('-')) name.insert(0, "_");
  if (name != model) name += fmt::format("-{:08x}", checksum(model));
  return join_path(log_dir, name + ".log");
}

ProcessSpec worker_process(const WorkerContext& context, std::string_view model) {
  ProcessSpec spec;
  spec.bare_env = true;
  // Measured with both cores busy: OpenMP's spinning barriers made an engine 20 to 40 times
  // slower than sleeping ones; on an idle machine there was no difference. One malloc arena and
  // early trimming keep freed memory from being held.
  spec.env = {{"OMP_WAIT_POLICY", "passive"},
              {"MALLOC_ARENA_MAX", "1"},
              {"MALLOC_TRIM_THRESHOLD_", "131072"}};
  spec.output_file = worker_log_path(context.log_dir, model);
  spec.niceness = kNiceness;
  spec.batch = true;
  spec.idle_io = true;
  spec.oom_score = kOomScore;
  if (context.cpu != nullptr && !context.cpu->e_cores.empty()) spec.cpus = context.cpu->p_cores;
  return spec;
}

uint32_t compute_threads(const Cpu* cpu) {
  if (cpu == nullptr) return 1;
  const auto cores = static_cast<uint32_t>(cpu->p_cores.size());
  return std::max<uint32_t>(1, cores == 0 ? cpu->threads : std::min(cores, cpu->threads));
}

std::string log_tail(Os& os, const std::string& path, uint64_t from) {
  const Result<std::unique_ptr<MappedFile>> file = os.map_file(path);
  if (!file) return "";
  std::span<const std::byte> all = (*file)->bytes();
  all = all.subspan(std::min<size_t>(from, all.size()));
  all = all.last(std::min<size_t>(all.size(), kTailMax));
  std::string_view rest(reinterpret_cast<const char*>(all.data()), all.size());
  std::deque<std::string> lines;
  std::string error;  // above pages of usage
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string line = printable(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) continue;
    lines.push_back(std::move(line));
    if (lines.size() <= kErrorLogLines) continue;
    if (lines.front().starts_with("error")) error = std::move(lines.front());
    lines.pop_front();
  }
  if (!error.empty()) lines.push_front(std::move(error));
  return fmt::format("{}", fmt::join(lines, " | "));
}

Result<std::unique_ptr<Child>> Child::start(Os& os, const ProcessSpec& spec, std::string name) {
  uint64_t log_from = 0;
  if (!spec.output_file.empty()) {
    if (Result<void> ok = rotate(os, spec.output_file); !ok) return fail(ok.error());
    if (const Result<FileInfo> info = os.stat(spec.output_file); info) log_from = info->size.n;
  }
  Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process) {
    Error error = process.error();
    error.code = Code::kUnavailable;
    error.message = fmt::format("cannot start {}: {}", name, error.message);
    return fail(std::move(error));
  }
  return std::make_unique<Child>(Private{}, os, std::move(name), spec.output_file, log_from,
                                 std::move(*process));
}

Child::Child(Private, Os& os, std::string name, std::string log, uint64_t log_from,
             std::unique_ptr<Process> process)
    : os_(os),
      name_(std::move(name)),
      log_(std::move(log)),
      log_from_(log_from),
      process_(std::move(process)) {}

Child::~Child() { stop(); }

std::optional<Exit> Child::wait(Millis timeout) {
  std::lock_guard lock(mutex_);
  return process_->wait(timeout);
}

Result<void> Child::alive() {
  if (!wait(Millis(0))) return {};
  return fail(failure("ended"));
}

Error Child::failure(const std::string& what) {
  std::string message = name_ + " " + what;
  // A process that closed its side is about to end: how tells most.
  if (const std::optional<Exit> exit = wait(kWaitSlice); exit) message += ", " + exit->text();
  if (!log_.empty()) {
    if (const std::string tail = log_tail(os_, log_, log_from_); !tail.empty()) {
      message += ": " + tail;
    }
  }
  return Error{Code::kWorkerFailed, std::move(message),
               log_.empty() ? "" : "see its log: " + log_};
}

void Child::kill() {
  process_->signal_group(SIGKILL);
  while (!wait(kWaitSlice)) {
  }
}

void Child::stop() {
  if (!wait(Millis(0))) process_->signal_group(SIGTERM);
  for (Millis waited{0}; waited < kWorkerStopMax && !wait(kWaitSlice); waited += kWaitSlice) {
  }
  kill();  // whatever else is in the group, too
}

}  // namespace gantry
