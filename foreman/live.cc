// Live facts of the machine.
#include "foreman/live.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "audit/facts.h"

namespace gantry {

namespace {

constexpr const char* kHost = "cpu";

// "some avg10=1.25 avg60=0.40 avg300=0.10 total=99"; zero where the kernel does not tell.
double stalled_share(const std::string& pressure) {
  constexpr std::string_view kSome = "some avg10=";
  const size_t at = pressure.find(kSome);
  double share = 0;
  if (at == std::string::npos) return 0;
  const char* end = pressure.data() + pressure.size();
  const auto read = std::from_chars(pressure.data() + at + kSome.size(), end, share);
  return read.ec == std::errc{} ? share : 0;
}

class RealLive final : public Live {
 public:
  RealLive(Os& os, const Machine& machine, const Config& config, std::string worker_exe)
      : os_(os), machine_(machine), config_(config), worker_exe_(std::move(worker_exe)) {}

  std::vector<LiveDevice> look(const std::vector<std::string>& devices) override {
    std::vector<LiveDevice> found;
    bool accelerators = false;
    for (const std::string& device : devices) {
      if (device != kHost) {
        accelerators = true;
        continue;
      }
      const Result<Memory> memory = read_memory(os_);
      if (!memory) continue;
      const Bytes total = host_total(*memory);
      found.push_back({kHost, memory->usable() - reserve_of(config_, kHost, total), {}});
      found.back().temperature_c = read_cpu_temperature(os_);
      found.back().stalled = stalled_share(read_fact(os_, "/proc/pressure/memory"));
    }
    if (accelerators && !worker_exe_.empty()) add_accelerators(devices, &found);
    return found;
  }

  std::optional<Holder> largest_holder(const std::set<int>& ours) override {
    const Result<std::vector<std::string>> names = os_.list("/proc");
    if (!names) return std::nullopt;
    Holder most;
    for (const std::string& name : *names) {
      int pid = 0;
      const auto [stop, failed] = std::from_chars(name.data(), name.data() + name.size(), pid);
      if (failed != std::errc{} || stop != name.data() + name.size()) continue;
      if (pid == ::getpid() || ours.contains(pid)) continue;
      const Bytes held = resident_bytes(os_, pid);
      if (held > most.bytes) most = {pid, {}, held};
    }
    if (most.pid == 0) return std::nullopt;
    most.name = read_fact(os_, "/proc/" + std::to_string(most.pid) + "/comm");
    return most;
  }

  static Bytes host_total(const Memory& memory) {
    return memory.cgroup_limit ? std::min(memory.total, *memory.cgroup_limit) : memory.total;
  }

 private:
  // By the bus or the engine's name: where one is gone, our own names move up.
  void add_accelerators(const std::vector<std::string>& devices, std::vector<LiveDevice>* found) {
    AuditOptions options;
    options.worker_exe = worker_exe_;
    const Result<Machine> now = audit(os_, options);
    if (!now) return;
    for (const Device& known : machine_.devices) {
      if (known.kind == DeviceKind::kCpu) continue;
      if (std::ranges::find(devices, known.name) == devices.end()) continue;
      const auto same = std::ranges::find_if(now->devices, [&](const Device& device) {
        return known.bus.empty() ? device.backend == known.backend : device.bus == known.bus;
      });
      if (same == now->devices.end()) continue;
      const Bytes kept = reserve_of(config_, known.name, known.total);
      found->push_back({known.name, same->free - kept, same->holders});
      found->back().hot = std::ranges::find(same->throttled, "heat") != same->throttled.end();
    }
  }

  Os& os_;
  const Machine& machine_;
  const Config& config_;
  const std::string worker_exe_;
};

}  // namespace

Bytes resident_bytes(Os& os, int pid) {
  const std::string text = read_fact(os, "/proc/" + std::to_string(pid) + "/statm");
  const size_t space = text.find(' ');
  uint64_t pages = 0;
  if (space == std::string::npos) return {};
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data() + space + 1, end, pages).ec != std::errc{}) return {};
  return {pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))};
}

Bytes taken_of(Os& os, Bytes leased, int pid, const std::string& device,
               const std::vector<Holder>& holders) {
  if (device == kHost) return std::min(leased, resident_bytes(os, pid));
  const auto holder = std::ranges::find(holders, pid, &Holder::pid);
  return holder == holders.end() ? Bytes{} : std::min(leased, holder->bytes);
}

std::unique_ptr<Live> real_live(Os& os, const Machine& machine, const Config& config,
                                const std::string& worker_exe) {
  return std::make_unique<RealLive>(os, machine, config, worker_exe);
}

Bytes reserve_of(const Config& config, const std::string& device, Bytes total) {
  auto found = config.reserve.find(device);
  if (found == config.reserve.end()) found = config.reserve.find("");
  return found == config.reserve.end() ? Bytes{} : found->second.of(total);
}

Machine without_reserve(Machine machine, const Config& config) {
  const Bytes kept = reserve_of(config, kHost, RealLive::host_total(machine.memory));
  // Of what is left, which may be what a control group leaves.
  machine.memory.available -= kept;
  machine.memory.cgroup_used += kept;
  for (Device& device : machine.devices) {
    device.free -= device.kind == DeviceKind::kCpu
                       ? kept
                       : reserve_of(config, device.name, device.total);
  }
  return machine;
}

}  // namespace gantry
