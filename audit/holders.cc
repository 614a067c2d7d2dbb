// Who holds device memory: the kernel's DRM statistics of open files (drm-usage-stats).
#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "audit/facts.h"

namespace gantry {

namespace {

constexpr size_t kProcessesMax = 8192;
constexpr size_t kFilesMax = 65'536;  // about half a second's worth (bench/audit)
constexpr Bytes kFdinfoMax = KiB(16);

// One open file of a card: drm-pdev, drm-client-id and the bytes in each region.
struct DrmClient {
  std::string bus, id;
  Bytes bytes;
};

// "1234 KiB", "16 MiB", "4096".
Bytes amount(const std::string& text) {
  uint64_t value = 0;
  std::string unit;
  std::istringstream words(text);
  if (!(words >> value)) return {};
  words >> unit;
  const uint64_t scale = unit == "KiB" ? 1ULL << 10 : unit == "MiB" ? 1ULL << 20 : 1;
  const auto bytes = checked_mul(value, scale);
  return bytes && Bytes{*bytes} <= kDeviceBytesMax ? Bytes{*bytes} : Bytes{};
}

// "drm-resident-vram0" with "drm-resident-" -> "vram0", where that is a card's own memory.
std::string_view own_region(std::string_view key, std::string_view prefix) {
  if (!key.starts_with(prefix)) return {};
  const std::string_view region = key.substr(prefix.size());
  return region.starts_with("vram") || region.starts_with("local") ? region : std::string_view();
}

// What is resident counts; drivers before kernel 6.13 call that memory or tell only the total.
std::optional<DrmClient> parse_fdinfo(const std::string& text) {
  if (text.find("drm-pdev:") == std::string::npos) return std::nullopt;  // as most open files
  DrmClient client;
  Bytes resident, memory, total;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with("drm-") || colon == std::string::npos) continue;
    const std::string key = line.substr(0, colon);
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    const std::string value = start == std::string::npos ? "" : line.substr(start);
    if (key == "drm-pdev") client.bus = value;
    if (key == "drm-client-id") client.id = value;
    if (!own_region(key, "drm-resident-").empty()) resident += amount(value);
    if (!own_region(key, "drm-memory-").empty()) memory += amount(value);
    if (!own_region(key, "drm-total-").empty()) total += amount(value);
  }
  if (client.bus.empty()) return std::nullopt;
  client.bytes = resident.n > 0 ? resident : memory.n > 0 ? memory : total;
  return client;
}

std::optional<int> pid_of(const std::string& name) {
  int pid = 0;
  const auto [stop, failed] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (failed != std::errc() || stop != name.data() + name.size() || pid <= 0) return std::nullopt;
  return pid;
}

}  // namespace

void tidy_holders(Os& os, std::vector<Holder>* holders) {
  std::ranges::sort(*holders, [](const Holder& a, const Holder& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.pid < b.pid;
  });
  if (holders->size() > kHoldersMax) holders->resize(kHoldersMax);
  for (Holder& holder : *holders) {
    if (holder.name.empty()) {
      holder.name = printable(read_fact(os, "/proc/" + std::to_string(holder.pid) + "/comm"), 64);
    }
    if (holder.name.empty()) holder.name = "process " + std::to_string(holder.pid);
  }
}

void read_holders(Os& os, std::vector<KernelDevice>* devices) {
  // NVIDIA's driver keeps no such statistics: NVML tells instead.
  const auto keeps = [](const KernelDevice& device) {
    return !device.driver.empty() && device.driver != "nvidia";
  };
  if (std::ranges::none_of(*devices, keeps)) return;
  const auto names = os.list("/proc");
  if (!names) return;
  std::set<std::pair<std::string, std::string>> seen;  // one client may be open several times
  size_t processes = 0, files = 0;
  for (const std::string& name : *names) {
    const auto pid = pid_of(name);
    if (!pid || ++processes > kProcessesMax) continue;
    const std::string dir = "/proc/" + name + "/fdinfo";
    for (const std::string& fd : os.list(dir).value_or(std::vector<std::string>{})) {
      if (++files > kFilesMax) break;
      const auto text = os.read_file(join_path(dir, fd), kFdinfoMax);
      const auto client = text ? parse_fdinfo(*text) : std::nullopt;
      if (!client || client->bytes.n == 0) continue;
      if (!client->id.empty() && !seen.insert({client->bus, client->id}).second) continue;
      for (KernelDevice& device : *devices) {
        if (device.facts.bus != client->bus) continue;
        auto& holders = device.facts.holders;
        const auto same = std::ranges::find(holders, *pid, &Holder::pid);
        if (same != holders.end()) {
          same->bytes += client->bytes;
        } else {
          holders.push_back({*pid, {}, client->bytes});
        }
      }
    }
  }
  for (KernelDevice& device : *devices) {
    if (device.vendor == 0x8086) {  // Intel's drivers tell what is used in no other place
      for (const Holder& holder : device.facts.holders) device.facts.free -= holder.bytes;
    }
    tidy_holders(os, &device.facts.holders);
  }
}

}  // namespace gantry
