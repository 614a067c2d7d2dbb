// Tests of what a card is called.
#include "audit/pci_names.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

constexpr const char* kDir = "/sys/bus/pci/devices/0000:03:00.0";
const PciId kAmdCard = {"0000:03:00.0", 0x1002, 0x73bf};

TEST(PciName, TheDriversOwnFirst) {
  FakeOs os;
  os.files[std::string(kDir) + "/revision"] = "0xc1\n";
  os.files["/usr/share/misc/pci.ids"] =
      "# list\n1002  Advanced Micro Devices\n\t73be  Other\n\t73bf  Navi 21 [Radeon RX 6800]\n";
  EXPECT_EQ(pci_name(os, kDir, kAmdCard), "AMD Radeon RX 6800");
  os.files["/usr/share/libdrm/amdgpu.ids"] =
      "73BF,\tC0,\tAMD Radeon RX 6900 XT\n73BF,\tC1,\tAMD Radeon RX 6800 XT\n";
  EXPECT_EQ(pci_name(os, kDir, kAmdCard), "AMD Radeon RX 6800 XT");
  os.files[std::string(kDir) + "/product_name"] = "Instinct MI210\n";
  EXPECT_EQ(pci_name(os, kDir, kAmdCard), "AMD Instinct MI210");
}

TEST(PciName, Nvidia) {
  FakeOs os;
  os.files["/proc/driver/nvidia/gpus/0000:01:00.0/information"] =
      "Model: \t\t NVIDIA GeForce RTX 3060\nIRQ: 5\n";
  EXPECT_EQ(pci_name(os, kDir, {"0000:01:00.0", 0x10de, 0x2504}), "NVIDIA GeForce RTX 3060");
}

TEST(PciName, ListsThatDoNotHaveIt) {
  FakeOs os;
  EXPECT_EQ(pci_name(os, kDir, kAmdCard), "AMD device 1002:73bf");
  for (const char* list : {"", "1002", "1002  AMD\n8086  Intel\n\t73bf  Not AMD's\n",
                           "1002  AMD\n\t\t73bf  a subsystem\n", "\t73bf  nobody's\n", "\n\n#\n"}) {
    os.files["/usr/share/hwdata/pci.ids"] = list;
    EXPECT_EQ(pci_name(os, kDir, kAmdCard), "AMD device 1002:73bf") << list;
  }
  EXPECT_EQ(pci_name(os, kDir, {"", 0x8086, 0x7d1d}), "Intel device 8086:7d1d");
}

TEST(PciName, NothingButPrintableTextOfALimit) {
  FakeOs os;
  os.files[std::string(kDir) + "/product_name"] = "AMD \x1b[2J" + std::string(500, 'x');
  const std::string name = pci_name(os, kDir, kAmdCard);
  EXPECT_EQ(name.size(), 128U);
  EXPECT_TRUE(name.starts_with("AMD ?[2Jxxx"));
}

}  // namespace
}  // namespace gantry
