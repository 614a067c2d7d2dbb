// What people call a PCI device, from the lists that distributions ship.
#pragma once

#include <cstdint>
#include <string>

#include "base/os.h"

namespace gantry {

struct PciId {
  std::string bus;  // "0000:03:00.0"
  uint32_t vendor = 0, device = 0;
};

// "AMD Radeon RX 6900 XT"; where no list has it, "AMD GPU 1002:73bf". `dir` is the device's folder
// in sysfs.
std::string pci_name(Os& os, const std::string& dir, const PciId& id);

}  // namespace gantry
