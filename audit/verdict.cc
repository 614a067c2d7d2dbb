// A machine in lines for a person.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "audit/facts.h"

namespace gantry {

namespace {

// Cards begin to slow down between 83 and 95 degrees, processors between 95 and 105.
constexpr double kGpuHotC = 85, kCpuHotC = 95;
constexpr size_t kNamedHolders = 3;
// Less than this is the driver's own, and not worth a word.
constexpr Bytes kHeldMin = MiB(64);

std::string rate(double bytes_per_s) {
  return format_bytes({static_cast<uint64_t>(bytes_per_s)}) + "/s";
}

// What is printed on the box: a driver keeps a little of "12 GB" to itself.
std::string card_size(Bytes total) {
  if (total < GiB(1)) return format_bytes(total);
  return fmt::format("{:.0f} GB", std::round(static_cast<double>(total.n) / (1ULL << 30)));
}

std::string condition(const Device& device, double hot_c) {
  std::string out;
  if (!device.throttled.empty()) {
    out += fmt::format("; throttled by {}", fmt::join(device.throttled, " and "));
    if (device.temperature_c) out += fmt::format(" at {:.0f} C", *device.temperature_c);
  } else if (device.temperature_c && *device.temperature_c >= hot_c) {
    out += fmt::format("; hot: {:.0f} C", *device.temperature_c);
  }
  // The generation drops while a link idles; lanes that are missing stay missing.
  if (device.link && device.link->width < device.link->width_max) {
    out += fmt::format("; link x{} of x{}", device.link->width, device.link->width_max);
  }
  return out;
}

// ", 1.2 GiB held by Xorg, 310.0 MiB by firefox": the largest by name, the rest together.
std::string held(const Device& device) {
  const Bytes all = device.total - device.free;
  std::map<std::string, Bytes> by_name;
  for (const Holder& holder : device.holders) by_name[holder.name] += holder.bytes;
  std::vector<std::pair<Bytes, std::string>> largest;
  for (const auto& [name, bytes] : by_name) largest.emplace_back(bytes, name);
  std::ranges::sort(largest, [](const auto& a, const auto& b) { return a.first > b.first; });
  if (largest.size() > kNamedHolders) largest.resize(kNamedHolders);
  std::string out;
  Bytes named;
  for (const auto& [bytes, name] : largest) {
    if (bytes < kHeldMin) continue;
    out += fmt::format(", {}{} by {}", format_bytes(bytes), out.empty() ? " held" : "", name);
    named += bytes;
  }
  const Bytes rest = all - named;
  if (rest < kHeldMin) return out;
  return out + fmt::format(", {}{} by others", format_bytes(rest), out.empty() ? " held" : "");
}

std::string accelerator_verdict(const Device& device) {
  const bool npu = device.kind == DeviceKind::kNpu;
  const bool shares = device.kind == DeviceKind::kIntegratedGpu;
  std::string out;
  if (device.total.n == 0) {
    const bool card = device.kind == DeviceKind::kGpu;
    out = npu ? "NPU" : card ? "card, memory unknown" : "graphics in the processor";
    out += card ? "" : ", no memory of its own";
  } else if (shares || npu) {
    out = format_bytes(device.total) + " of the host's memory";
  } else {
    out = card_size(device.total) + " card";
  }
  if (!device.trouble.empty()) return out + ", unusable: " + device.trouble;
  if (device.total.n > 0) out += held(device) + ": plan with " + format_bytes(device.free);
  return out + condition(device, kGpuHotC);
}

std::string cpu_verdict(const Machine& machine) {
  const Memory& memory = machine.memory;
  std::string out = std::to_string(machine.cpu.threads) +
                    (machine.cpu.threads == 1 ? " thread" : " threads");
  if (!machine.cpu.e_cores.empty()) {
    out += " (" + std::to_string(machine.cpu.p_cores.size()) + " on performance cores)";
  }
  out += ", " + format_bytes(memory.total) + " RAM";
  if (!machine.cpu.numa.empty()) {
    out += fmt::format(" in {} NUMA nodes", machine.cpu.numa.size());
  }
  if (memory.cgroup_limit) {
    out += " of which a control group grants " + format_bytes(*memory.cgroup_limit);
  }
  out += ", " + format_bytes(memory.usable()) + " usable";
  const auto& bandwidth = machine.devices.front().bandwidth.memory_bytes_per_s;
  if (bandwidth) out += ", read at " + rate(*bandwidth);
  out += condition(machine.devices.front(), kCpuHotC);
  if (!machine.note.empty()) return out + "; " + machine.note;
  return out + (machine.devices.size() == 1 ? "; no accelerator: models run here" : "");
}

}  // namespace

std::vector<std::string> troubles(const Machine& machine) {
  std::vector<std::string> out;
  if (!machine.note.empty()) out.push_back(machine.note);
  for (const Device& device : machine.devices) {
    if (device.trouble.empty() || device.kind == DeviceKind::kIntegratedGpu) continue;
    out.push_back(fmt::format("{} ({}): {}", device.name, device.description, device.trouble));
  }
  return out;
}

void write_verdicts(Machine* machine) {
  for (Device& device : machine->devices) device.verdict = accelerator_verdict(device);
  machine->devices.front().verdict = cpu_verdict(*machine);
  machine->disk.verdict = format_bytes(machine->disk.free) + " free";
  if (machine->disk.read_bytes_per_s) {
    machine->disk.verdict += ", read at " + rate(*machine->disk.read_bytes_per_s);
  } else {
    machine->disk.verdict += ", speed not measured";
  }
}

}  // namespace gantry
