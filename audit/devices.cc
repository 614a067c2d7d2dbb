// One device for each accelerator, from three sides: the engines that can use it, its driver's own
// library, and the kernel. They meet at the PCI address.
#include <algorithm>
#include <array>

#include "audit/facts.h"

namespace gantry {

namespace {

constexpr std::array<std::pair<uint32_t, std::string_view>, 3> kMakers = {
    {{0x10de, "NVIDIA"}, {0x1002, "AMD"}, {0x8086, "Intel"}}};

Device* at_bus(std::vector<Device>* devices, const std::string& bus) {
  if (bus.empty()) return nullptr;
  const auto found = std::ranges::find(*devices, bus, &Device::bus);
  return found == devices->end() ? nullptr : &*found;
}

// An engine that tells no address (SYCL, OpenCL) means the card of the same maker, where there is
// but one without an owner.
Device* of_maker(std::vector<Device>* devices, const KernelDevice& kernel) {
  const auto maker = std::ranges::find(kMakers, kernel.vendor, &std::pair<uint32_t,
                                       std::string_view>::first);
  Device* match = nullptr;
  for (Device& device : *devices) {
    const bool npu = device.kind == DeviceKind::kNpu;
    if (!device.bus.empty() || npu != (kernel.facts.kind == DeviceKind::kNpu)) continue;
    const bool named = maker != kMakers.end() &&
                       device.description.find(maker->second) != std::string::npos;
    if (!named && !npu) continue;
    if (match != nullptr) return nullptr;
    match = &device;
  }
  return match;
}

// Free bytes of a driver's library or the kernel were read before the probe's own contexts took
// some, and are the better figure; but an engine may see a part of the card only (MIG).
void take_memory(const Device& from, Device* to) {
  if (from.total.n == 0 || to->kind != DeviceKind::kGpu) return;
  const Bytes difference = std::max(from.total, to->total) - std::min(from.total, to->total);
  if (to->total.n > 0 && difference > Bytes{from.total.n / 8}) return;
  to->total = from.total;
  to->free = from.free;
}

void fill(const Device& from, Device* to) {
  take_memory(from, to);
  if (to->bus.empty()) to->bus = from.bus;
  if (to->description.empty()) to->description = from.description;
  if (!to->temperature_c) to->temperature_c = from.temperature_c;
  if (!to->power_w) to->power_w = from.power_w;
  if (!to->power_limit_w) to->power_limit_w = from.power_limit_w;
  if (to->throttled.empty()) to->throttled = from.throttled;
  if (to->holders.empty()) to->holders = from.holders;
  if (to->numa_node < 0) to->numa_node = from.numa_node;
  to->energy_counter |= from.energy_counter;
  if (!to->link) {
    to->link = from.link;
  } else if (from.link) {  // NVML's best is the slot's, the kernel's the card's
    to->link->width_max = std::max(to->link->width_max, from.link->width_max);
    to->link->generation_max = std::max(to->link->generation_max, from.link->generation_max);
  }
}

std::string without_engine(const Probed& probed) {
  if (!probed.engines) return "its driver does not answer: " + probed.fault;
  return "no engine here drives it: ggml has " + probed.backends + " only";
}

// Why a card that nobody but the kernel lists cannot be used.
std::string trouble_of(const Probed& probed, const KernelDevice& kernel) {
  if (kernel.driver.empty()) return "the kernel has no driver for it";
  if (kernel.driver == "vfio-pci") return "given away to virtual machines (vfio-pci)";
  if (kernel.facts.kind == DeviceKind::kNpu) {
    if (!probed.openvino) return "not known: " + probed.fault;
    return "no engine here drives it: OpenVINO is not installed, or does not see it";
  }
  if (kernel.driver == "nouveau") return "driven by nouveau, which no engine uses";
  if (kernel.vendor == 0x10de && !probed.nvidia_trouble.empty()) {
    return "its driver does not work: " + probed.nvidia_trouble;
  }
  return without_engine(probed);
}

void name(std::vector<Device>* devices) {
  size_t gpus = 0, npus = 0;
  for (Device& device : *devices) {
    const bool npu = device.kind == DeviceKind::kNpu;
    device.name = npu ? "npu" + std::to_string(npus++) : "gpu" + std::to_string(gpus++);
  }
}

}  // namespace

std::vector<Device> join_devices(const Probed& probed, std::vector<KernelDevice> kernel) {
  std::vector<Device> devices;
  for (const auto* part : {&probed.engines, &probed.openvino}) {
    for (const Device& device : part->value_or(std::vector<Device>{})) {
      // A card that two engines drive is one card; the maker's own engine comes first.
      if (at_bus(&devices, device.bus) == nullptr) devices.push_back(device);
    }
  }
  for (const Device& nvidia : probed.nvidia.value_or(std::vector<Device>{})) {
    if (Device* known = at_bus(&devices, nvidia.bus)) {
      fill(nvidia, known);
      continue;
    }
    devices.push_back(nvidia);
    devices.back().trouble = without_engine(probed);
  }
  for (KernelDevice& device : kernel) {
    Device* known = at_bus(&devices, device.facts.bus);
    if (known == nullptr) known = of_maker(&devices, device);
    if (known != nullptr) {
      fill(device.facts, known);
      known->free = std::min(known->free, known->total - device.npu_used);
      continue;
    }
    device.facts.trouble = trouble_of(probed, device);
    devices.push_back(std::move(device.facts));
  }
  if (devices.size() >= kDevicesMax) devices.resize(kDevicesMax - 1);  // the CPU is one more
  name(&devices);
  return devices;
}

}  // namespace gantry
