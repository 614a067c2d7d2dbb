// What processors this process may use.
#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "audit/facts.h"

namespace gantry {

namespace {

// Instruction sets that the engines have kernels for.
constexpr std::string_view kFeatures[] = {
    "sse4_2",      "avx",      "f16c",     "fma",     "avx2",    "avx512f", "avx512bw",
    "avx512_vnni", "avx_vnni", "amx_int8", "asimd",   "asimddp", "fphp",    "i8mm",
    "sve",         "sve2"};

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// The first "key : value" of a file such as /proc/cpuinfo.
std::string value_of(std::string_view text, std::string_view key) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && trimmed(line.substr(0, colon)) == key) {
      return std::string(trimmed(line.substr(colon + 1)));
    }
    at = end + 1;
  }
  return {};
}

std::vector<std::string> features_of(const std::string& flags) {
  std::set<std::string> words;
  std::istringstream stream(flags);
  for (std::string word; stream >> word;) words.insert(word);
  std::vector<std::string> found;
  for (const std::string_view feature : kFeatures) {
    if (words.contains(std::string(feature))) found.emplace_back(feature);
  }
  return found;
}

// Processors' worth of time per period that a control group grants, rounded up.
std::optional<uint32_t> quota_threads(uint64_t quota, uint64_t period) {
  if (period == 0 || quota == 0) return std::nullopt;
  return static_cast<uint32_t>(std::min<uint64_t>((quota + period - 1) / period, kCpusMax));
}

uint32_t cgroup_threads(Os& os, uint32_t threads) {
  const CgroupDirs dirs = cgroup_dirs(os, "cpu");
  for (const std::string& dir : dirs.v2) {
    std::istringstream text(read_fact(os, join_path(dir, "cpu.max")));  // "max 100000"
    uint64_t quota = 0, period = 0;
    if (!(text >> quota >> period)) continue;
    threads = std::min(threads, quota_threads(quota, period).value_or(threads));
  }
  for (const std::string& dir : dirs.v1) {
    const auto quota = read_number(os, join_path(dir, "cpu.cfs_quota_us"));  // "-1": none
    const auto period = read_number(os, join_path(dir, "cpu.cfs_period_us"));
    if (!quota || !period) continue;
    threads = std::min(threads, quota_threads(*quota, *period).value_or(threads));
  }
  return std::max(threads, 1U);
}

std::vector<int> both(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> out;
  std::ranges::set_intersection(a, b, std::back_inserter(out));
  return out;
}

// Intel names its core kinds in /sys/devices; ARM gives each processor a capacity, and those of
// at least three quarters of the best count as performance cores.
void sort_cores(Os& os, const std::vector<int>& allowed, Cpu* cpu) {
  const auto atom = parse_cpu_list(read_fact(os, "/sys/devices/cpu_atom/cpus"));
  const auto core = parse_cpu_list(read_fact(os, "/sys/devices/cpu_core/cpus"));
  if (!atom.empty() && !core.empty()) {
    cpu->p_cores = both(allowed, core);
    cpu->e_cores = both(allowed, atom);
  } else {
    std::vector<std::pair<int, uint64_t>> capacities;
    uint64_t best = 0;
    for (const int id : allowed) {
      const auto capacity = read_number(
          os, "/sys/devices/system/cpu/cpu" + std::to_string(id) + "/cpu_capacity");
      if (!capacity) break;
      capacities.emplace_back(id, *capacity);
      best = std::max(best, *capacity);
    }
    if (capacities.size() == allowed.size()) {
      for (const auto& [id, capacity] : capacities) {
        (capacity >= best / 4 * 3 ? cpu->p_cores : cpu->e_cores).push_back(id);
      }
    }
  }
  if (cpu->p_cores.empty()) {
    cpu->p_cores = allowed;
    cpu->e_cores.clear();
  }
}

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view part = trimmed(text.substr(at, end - at));
    at = end + 1;
    int first = 0, last = 0;
    const char* const stop = part.data() + part.size();
    auto parsed = std::from_chars(part.data(), stop, first);
    if (parsed.ec != std::errc()) continue;
    last = first;
    if (parsed.ptr != stop) {
      if (*parsed.ptr != '-') continue;
      parsed = std::from_chars(parsed.ptr + 1, stop, last);
      if (parsed.ec != std::errc() || parsed.ptr != stop) continue;
    }
    for (int id = std::max(first, 0); id <= last && id < kCpusMax; ++id) cpus.push_back(id);
  }
  std::ranges::sort(cpus);
  // Clang 14 does not compile std::ranges::unique of GCC 12's library.
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string format_cpu_list(const std::vector<int>& cpus) {
  std::string out;
  for (size_t i = 0; i < cpus.size();) {
    size_t j = i;
    while (j + 1 < cpus.size() && cpus[j + 1] == cpus[j] + 1) ++j;
    if (!out.empty()) out += ',';
    out += std::to_string(cpus[i]);
    if (j > i) {
      out += '-';
      out += std::to_string(cpus[j]);
    }
    i = j + 1;
  }
  return out;
}

Result<Cpu> read_cpu(Os& os) {
  const auto info = os.read_file("/proc/cpuinfo", kProcFileMax);
  if (!info) return fail(info.error());
  Cpu cpu;
  for (const char* key : {"model name", "Model", "Hardware", "cpu model"}) {
    if (cpu.model.empty()) cpu.model = value_of(*info, key);
  }
  if (cpu.model.empty()) cpu.model = "unknown processor";
  const std::string flags = value_of(*info, "flags");
  cpu.features = features_of(flags.empty() ? value_of(*info, "Features") : flags);
  auto allowed =
      parse_cpu_list(value_of(read_fact(os, "/proc/self/status"), "Cpus_allowed_list"));
  if (allowed.empty()) allowed = parse_cpu_list(read_fact(os, "/sys/devices/system/cpu/online"));
  if (allowed.empty()) allowed.push_back(0);
  cpu.threads = cgroup_threads(os, static_cast<uint32_t>(allowed.size()));
  sort_cores(os, allowed, &cpu);
  return cpu;
}

std::vector<NumaNode> read_numa(Os& os) {
  constexpr const char* kDir = "/sys/devices/system/node";
  std::vector<NumaNode> nodes;
  for (const int id : parse_cpu_list(read_fact(os, join_path(kDir, "has_memory")))) {
    if (nodes.size() >= kNumaNodesMax) break;
    const std::string dir = join_path(kDir, "node" + std::to_string(id));
    NumaNode node;
    node.id = id;
    node.cpus = parse_cpu_list(read_fact(os, join_path(dir, "cpulist")));
    std::istringstream lines(read_fact(os, join_path(dir, "meminfo")));
    for (std::string line; std::getline(lines, line);) {  // "Node 0 MemTotal:  65536 kB"
      std::istringstream words(line);
      std::string word, key;
      uint64_t number = 0, kib = 0;
      if (!(words >> word >> number >> key >> kib) || kib > (UINT64_MAX >> 10)) continue;
      if (key == "MemTotal:") node.total = KiB(kib);
      if (key == "MemFree:") node.free = KiB(kib);
    }
    node.free = std::min(node.free, node.total);
    nodes.push_back(std::move(node));
  }
  if (nodes.size() < 2) nodes.clear();
  return nodes;
}

std::optional<double> read_cpu_temperature(Os& os) {
  const auto chips = os.list("/sys/class/hwmon");
  if (!chips) return std::nullopt;
  for (const std::string& chip : *chips) {
    const std::string dir = join_path("/sys/class/hwmon", chip);
    const std::string name = read_fact(os, join_path(dir, "name"));
    if (name != "coretemp" && name != "k10temp" && name != "zenpower" && name != "cpu_thermal") {
      continue;
    }
    const auto millidegrees = read_number(os, join_path(dir, "temp1_input"));
    if (millidegrees && *millidegrees < 200'000) {
      return static_cast<double>(*millidegrees) / 1000.0;
    }
  }
  return std::nullopt;
}

}  // namespace gantry
