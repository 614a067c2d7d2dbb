// Accelerators as the kernel sees them, from sysfs alone: AMD's and Intel's drivers tell memory,
// sensors and links there, so that ROCm SMI (which reads the same files) is not needed. NVIDIA's
// driver tells little there; NVML has the rest (worker/nvml.cc).
#include <algorithm>
#include <charconv>
#include <sstream>

#include "audit/facts.h"
#include "audit/pci_names.h"

namespace gantry {

namespace {

constexpr uint32_t kNvidia = 0x10de, kAmd = 0x1002, kIntel = 0x8086;
constexpr std::string_view kPciDir = "/sys/bus/pci/devices";
// Intel's NPUs (drivers/accel/ivpu), for machines where no driver is bound to them.
constexpr uint32_t kIntelNpus[] = {0x7d1d, 0xad1d, 0x643e, 0xb03e, 0xfd3e};

// A PCI device's uevent: one small file names driver, class and id.
struct Uevent {
  std::string driver;
  uint32_t pci_class = 0, vendor = 0, device = 0;
};

uint32_t hex_of(std::string_view text) {
  uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

Uevent read_uevent(Os& os, const std::string& dir) {
  Uevent out;
  std::istringstream lines(read_fact(os, join_path(dir, "uevent")));
  for (std::string line; std::getline(lines, line);) {
    const std::string_view text = line;
    if (text.starts_with("DRIVER=")) out.driver = printable(line.substr(7), 64);
    if (text.starts_with("PCI_CLASS=")) out.pci_class = hex_of(text.substr(10));
    if (!text.starts_with("PCI_ID=")) continue;  // "1002:73BF"
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) continue;
    out.vendor = hex_of(text.substr(7, colon - 7));
    out.device = hex_of(text.substr(colon + 1));
  }
  return out;
}

// GPUs are classes 0x0300 (VGA), 0x0302 (3D) and 0x0380 (display) of the makers whose cards
// compute; the graphics of a server's or a virtual machine's console are not meant. FPGAs share
// the class of NPUs, so that those go by driver or id.
std::optional<DeviceKind> kind_of(const Uevent& uevent) {
  const uint32_t kind = uevent.pci_class >> 8;
  const bool maker =
      uevent.vendor == kNvidia || uevent.vendor == kAmd || uevent.vendor == kIntel;
  if (maker && (kind == 0x0300 || kind == 0x0302 || kind == 0x0380)) return DeviceKind::kGpu;
  if (uevent.driver == "intel_vpu" || uevent.driver == "amdxdna") return DeviceKind::kNpu;
  if (uevent.vendor == kIntel && std::ranges::count(kIntelNpus, uevent.device) > 0) {
    return DeviceKind::kNpu;
  }
  return std::nullopt;
}

std::optional<Bytes> read_bytes(Os& os, const std::string& path) {
  const auto bytes = read_number(os, path);
  if (!bytes || Bytes{*bytes} > kDeviceBytesMax) return std::nullopt;
  return Bytes{*bytes};
}

void set_memory(std::optional<Bytes> total, std::optional<Bytes> used, Device* device) {
  if (!total) return;
  device->total = *total;
  device->free = *total - used.value_or(Bytes{});
}

// AMD's table of measurements: a header {size, format, content}. Format 1 is a card, 2 and 3 are
// graphics within a processor; content 3 of format 1 (RDNA, kernel 5.14 on) ends with reasons for
// throttling that mean the same on every chip: bits 0-31 are limits of power and current, 32-55 of
// temperature (kgd_pp_interface.h, amdgpu_smu.h).
struct GpuMetrics {
  bool integrated = false;
  uint64_t throttle = 0;
};

GpuMetrics read_gpu_metrics(Os& os, const std::string& dir) {
  constexpr size_t kThrottleAt = 112;
  GpuMetrics out;
  const auto table = os.read_file(join_path(dir, "gpu_metrics"), KiB(64));
  if (!table || table->size() < 4) return out;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>((*table)[at]); };
  out.integrated = byte(2) == 2 || byte(2) == 3;
  if (byte(2) != 1 || byte(3) != 3 || table->size() < kThrottleAt + 8) return out;
  for (size_t i = 0; i < 8; ++i) out.throttle |= uint64_t{byte(kThrottleAt + i)} << (8 * i);
  if (out.throttle == UINT64_MAX) out.throttle = 0;  // what firmware does not fill in is all ones
  return out;
}

void read_amd(Os& os, const std::string& dir, Device* device) {
  const GpuMetrics metrics = read_gpu_metrics(os, dir);
  if ((metrics.throttle & 0x00ffffff'00000000) != 0) device->throttled.emplace_back("heat");
  if ((metrics.throttle & 0x00000000'ffffffff) != 0) device->throttled.emplace_back("power");
  set_memory(read_bytes(os, join_path(dir, "mem_info_vram_total")),
             read_bytes(os, join_path(dir, "mem_info_vram_used")), device);
  if (!metrics.integrated) return;
  // Its own memory is carved out of the host's; through GTT it reaches more of that.
  device->kind = DeviceKind::kIntegratedGpu;
  device->total += read_bytes(os, join_path(dir, "mem_info_gtt_total")).value_or(Bytes{});
  device->free += read_bytes(os, join_path(dir, "mem_info_gtt_total")).value_or(Bytes{}) -
                  read_bytes(os, join_path(dir, "mem_info_gtt_used")).value_or(Bytes{});
}

// Intel: graphics of a processor are at 00:02.0 and have no memory of their own. The xe driver
// tells that of a card by tile; i915 only as Intel ships it, not as the kernel has it. What is used
// shows by process alone (read_holders).
void read_intel(Os& os, const std::string& dir, Device* device) {
  if (device->bus.ends_with(":00:02.0")) {
    device->kind = DeviceKind::kIntegratedGpu;
    return;
  }
  Bytes total;
  for (const std::string& name : os.list(dir).value_or(std::vector<std::string>{})) {
    if (!name.starts_with("tile")) continue;
    total += read_bytes(os, dir + "/" + name + "/physical_vram_size_bytes").value_or(Bytes{});
  }
  const std::string drm = join_path(dir, "drm");
  for (const std::string& name : os.list(drm).value_or(std::vector<std::string>{})) {
    if (total.n > 0 || !name.starts_with("card")) continue;
    total = read_bytes(os, drm + "/" + name + "/lmem_total_bytes").value_or(Bytes{});
  }
  if (total.n > 0) set_memory(total, Bytes{}, device);
}

// The first of the files that has a plausible value, scaled.
std::optional<double> sensor(Os& os, const std::string& dir, const char* first, const char* second,
                             double scale, double most) {
  for (const char* name : {first, second}) {
    const auto raw = read_number(os, join_path(dir, name));
    if (!raw || *raw == 0) continue;
    const double value = static_cast<double>(*raw) / scale;
    if (value < most) return value;
  }
  return std::nullopt;
}

void read_sensors(Os& os, const std::string& dir, Device* device) {
  const std::string hwmon = join_path(dir, "hwmon");
  const auto chips = os.list(hwmon);
  if (!chips || chips->empty()) return;
  const std::string chip = join_path(hwmon, chips->front());
  device->temperature_c = sensor(os, chip, "temp1_input", "temp2_input", 1e3, 200);
  device->power_w = sensor(os, chip, "power1_average", "power1_input", 1e6, 1e4);
  device->power_limit_w = sensor(os, chip, "power1_cap", "power1_max", 1e6, 1e4);
  device->energy_counter = read_number(os, join_path(chip, "energy1_input")).has_value();
}

// "16.0 GT/s PCIe" -> 4.
uint32_t generation_of(const std::string& speed) {
  double rate = 0;
  std::istringstream(speed) >> rate;
  constexpr double kRates[] = {2.5, 5, 8, 16, 32, 64};
  const auto* const found = std::ranges::find(kRates, rate);
  return found == std::end(kRates) ? 0 : static_cast<uint32_t>(found - kRates) + 1;
}

// AMD's newer cards have a switch of their own, whose inner link is always wide: the slot is above
// that, two bridges up. ".." below a device's symbolic link is its parent.
std::optional<PcieLink> read_link(Os& os, std::string dir, uint32_t vendor) {
  for (int up = 0; up < 2 && vendor == kAmd; ++up) {
    const Uevent above = read_uevent(os, dir + "/..");
    if (above.vendor != kAmd || above.pci_class >> 8 != 0x0604) break;
    dir += "/..";
  }
  PcieLink link;
  link.generation = generation_of(read_fact(os, join_path(dir, "current_link_speed")));
  link.generation_max = generation_of(read_fact(os, join_path(dir, "max_link_speed")));
  for (const auto& [name, width] : {std::pair{"current_link_width", &link.width},
                                    std::pair{"max_link_width", &link.width_max}}) {
    const auto lanes = read_number(os, join_path(dir, name));
    if (lanes && *lanes <= 32) *width = static_cast<uint32_t>(*lanes);
  }
  if (link.generation == 0 || link.width == 0) return std::nullopt;
  link.generation_max = std::max(link.generation, link.generation_max);
  link.width_max = std::max(link.width, link.width_max);
  return link;
}

}  // namespace

std::optional<uint64_t> read_hex(Os& os, const std::string& path) {
  const std::string text = read_fact(os, path);
  uint64_t value = 0;
  if (!text.starts_with("0x")) return std::nullopt;
  const char* const end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data() + 2, end, value, 16);
  if (failed != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<KernelDevice> read_kernel_devices(Os& os) {
  std::vector<KernelDevice> found;
  const auto addresses = os.list(std::string(kPciDir));
  if (!addresses) return found;
  for (const std::string& address : *addresses) {
    const std::string dir = join_path(kPciDir, address);
    const Uevent uevent = read_uevent(os, dir);
    const auto kind = kind_of(uevent);
    if (!kind || found.size() >= kDevicesMax) continue;
    KernelDevice device;
    device.vendor = uevent.vendor;
    device.driver = uevent.driver;
    device.facts.kind = *kind;
    device.facts.bus = address;
    const bool gpu = *kind == DeviceKind::kGpu;
    if (gpu && uevent.vendor == kAmd) read_amd(os, dir, &device.facts);
    if (gpu && uevent.vendor == kIntel) read_intel(os, dir, &device.facts);
    // The kernel counts an NPU's busy time too, but one look at a counter tells no rate.
    device.npu_used = read_bytes(os, join_path(dir, "npu_memory_utilization")).value_or(Bytes{});
    read_sensors(os, dir, &device.facts);
    if (device.facts.kind == DeviceKind::kGpu) {
      device.facts.link = read_link(os, dir, uevent.vendor);
    }
    const auto node = read_number(os, join_path(dir, "numa_node"));  // "-1": only one
    if (node && *node < kNumaNodesMax) device.facts.numa_node = static_cast<int>(*node);
    device.facts.description = pci_name(os, dir, {address, uevent.vendor, uevent.device});
    found.push_back(std::move(device));
  }
  return found;
}

}  // namespace gantry
