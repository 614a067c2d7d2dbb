// What memory this process may use: the machine's, less what control groups take away.
#include <algorithm>
#include <charconv>
#include <sstream>

#include "audit/facts.h"

namespace gantry {

namespace {

// "MemTotal:  24606748 kB" -> bytes.
std::optional<Bytes> meminfo(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    std::istringstream rest(line.substr(key.size() + 1));
    uint64_t kib = 0;
    if (rest >> kib && kib <= (UINT64_MAX >> 10)) return KiB(kib);
  }
  return std::nullopt;
}

// One value of a memory.stat.
uint64_t stat_value(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  std::string word;
  uint64_t value = 0;
  while (lines >> word >> value) {
    if (word == key) return value;
  }
  return 0;
}

struct Files {
  const char* limit;
  const char* used;
  const char* cache;  // in memory.stat: page cache that gives way first
};

// Keeps the group with the least room left.
void tighten(Os& os, const std::string& dir, const Files& files, Memory* memory) {
  const auto limit = read_number(os, join_path(dir, files.limit));  // "max" is no number
  if (!limit || *limit >= memory->total.n) return;
  const Bytes used = Bytes{read_number(os, join_path(dir, files.used)).value_or(0)} -
                     Bytes{stat_value(read_fact(os, join_path(dir, "memory.stat")), files.cache)};
  const Bytes room = Bytes{*limit} - used;
  if (memory->cgroup_limit && *memory->cgroup_limit - memory->cgroup_used <= room) return;
  memory->cgroup_limit = Bytes{*limit};
  memory->cgroup_used = used;
}

}  // namespace

std::string read_fact(Os& os, const std::string& path) {
  auto text = os.read_file(path, kProcFileMax);
  if (!text) return {};
  const size_t last = text->find_last_not_of(" \t\r\n");
  text->resize(last == std::string::npos ? 0 : last + 1);
  return std::move(*text);
}

std::string printable(std::string text, size_t most) {
  text.resize(std::min(text.size(), most));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

std::optional<uint64_t> read_number(Os& os, const std::string& path) {
  const std::string text = read_fact(os, path);
  uint64_t value = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

CgroupDirs cgroup_dirs(Os& os, std::string_view controller) {
  CgroupDirs dirs;
  std::istringstream lines(read_fact(os, "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {  // "4:memory:/a/b", "0::/a/b"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string names(1, ',');  // ",cpu,cpuacct,"
    names += line.substr(first + 1, second - first - 1);
    names += ',';
    std::string wanted(1, ',');
    wanted += controller;
    wanted += ',';
    const bool v2 = line.starts_with("0::");
    if (!v2 && names.find(wanted) == std::string::npos) continue;
    // A hybrid mount keeps v2 under "unified"; a v1 controller lies under its own name.
    const std::string mount =
        v2 ? "/sys/fs/cgroup" : join_path("/sys/fs/cgroup", std::string(controller));
    std::string path = line.substr(second + 1);
    while (true) {
      (v2 ? dirs.v2 : dirs.v1).push_back(path.size() > 1 ? mount + path : mount);
      if (path.size() <= 1) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return dirs;
}

Result<Memory> read_memory(Os& os) {
  const auto text = os.read_file("/proc/meminfo", kProcFileMax);
  if (!text) return fail(text.error());
  const auto total = meminfo(*text, "MemTotal");
  if (!total) return fail(Code::kCorrupt, "/proc/meminfo has no MemTotal");
  Memory memory;
  memory.total = *total;
  memory.available = meminfo(*text, "MemAvailable")
                         .value_or(meminfo(*text, "MemFree").value_or(Bytes{}) +
                                   meminfo(*text, "Cached").value_or(Bytes{}));
  memory.available = std::min(memory.available, memory.total);
  const CgroupDirs dirs = cgroup_dirs(os, "memory");
  for (const std::string& dir : dirs.v2) {
    tighten(os, dir, {"memory.max", "memory.current", "inactive_file"}, &memory);
  }
  for (const std::string& dir : dirs.v1) {
    tighten(os, dir, {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
            &memory);
  }
  return memory;
}

Bytes Memory::usable() const {
  return cgroup_limit ? std::min(available, *cgroup_limit - cgroup_used) : available;
}

}  // namespace gantry
