// Names from the driver, libdrm's list of AMD's cards, or the list of all PCI devices.
#include "audit/pci_names.h"

#include <fmt/format.h>

#include <sstream>

#include "audit/facts.h"

namespace gantry {

namespace {

constexpr size_t kNameMax = 128;

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string_view vendor_word(uint32_t vendor) {
  switch (vendor) {
    case 0x10de: return "NVIDIA";
    case 0x1002:
    case 0x1022: return "AMD";
    default: return "Intel";
  }
}

// NVIDIA's driver: "Model:  NVIDIA GeForce RTX 3060".
std::string nvidia_name(Os& os, const std::string& bus) {
  std::istringstream lines(read_fact(os, "/proc/driver/nvidia/gpus/" + bus + "/information"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Model:")) return trimmed(line.substr(6));
  }
  return {};
}

// libdrm: "73BF,\tC0,\tAMD Radeon RX 6900 XT", by device and revision.
std::string amd_name(Os& os, const std::string& dir, uint32_t device) {
  const auto revision = read_hex(os, join_path(dir, "revision"));
  if (!revision) return {};
  const std::string wanted = fmt::format("{:04X},\t{:02X},", device, *revision);
  std::istringstream lines(read_fact(os, "/usr/share/libdrm/amdgpu.ids"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(wanted)) return trimmed(line.substr(wanted.size()));
  }
  return {};
}

// pci.ids: "1002  Advanced Micro Devices", below it "\t73bf  Navi 21 [Radeon RX 6900 XT]". What is
// in brackets is what the box says.
std::string listed_name(Os& os, const std::string& file, const PciId& id) {
  const std::string vendor = fmt::format("{:04x}  ", id.vendor);
  const std::string device = fmt::format("\t{:04x}  ", id.device);
  bool inside = false;
  std::istringstream lines(read_fact(os, file));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    if (line.front() != '\t') {
      if (inside) return {};
      inside = line.starts_with(vendor);
    } else if (inside && line.starts_with(device)) {
      const size_t open = line.find('['), close = line.rfind(']');
      const bool box = open != std::string::npos && close != std::string::npos && close > open;
      return box ? line.substr(open + 1, close - open - 1) : trimmed(line.substr(device.size()));
    }
  }
  return {};
}

}  // namespace

std::string pci_name(Os& os, const std::string& dir, const PciId& id) {
  std::string name = trimmed(read_fact(os, join_path(dir, "product_name")));
  if (name.empty() && id.vendor == 0x10de) name = nvidia_name(os, id.bus);
  if (name.empty() && id.vendor == 0x1002) name = amd_name(os, dir, id.device);
  for (const char* file : {"/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"}) {
    if (name.empty()) name = listed_name(os, file, id);
  }
  const std::string_view vendor = vendor_word(id.vendor);
  if (name.empty()) return fmt::format("{} device {:04x}:{:04x}", vendor, id.vendor, id.device);
  if (name.find(vendor) == std::string::npos) name = fmt::format("{} {}", vendor, name);
  return printable(std::move(name), kNameMax);
}

}  // namespace gantry
