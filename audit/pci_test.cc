// Tests of accelerators as the kernel shows them.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

class Tree {
 public:
  // A device's folder, with its uevent.
  std::string add(const std::string& bus, const std::string& driver, const std::string& kind,
                  const std::string& id) {
    const std::string dir = "/sys/bus/pci/devices/" + bus;
    os.files[dir + "/uevent"] = (driver.empty() ? "" : "DRIVER=" + driver + "\n") +
                                "PCI_CLASS=" + kind + "\nPCI_ID=" + id + "\n";
    return dir;
  }
  std::vector<KernelDevice> found() { return read_kernel_devices(os); }
  FakeOs os;
};

TEST(KernelDevices, WhichOnesCount) {
  Tree tree;
  EXPECT_TRUE(tree.found().empty());
  tree.add("0000:00:02.0", "i915", "30000", "8086:9A49");       // graphics of a processor
  tree.add("0000:01:00.0", "nvidia", "30200", "10DE:20F1");     // a card without display
  tree.add("0000:01:00.1", "snd_hda_intel", "40300", "10DE:1AEF");
  tree.add("0000:02:00.0", "ast", "30000", "1A03:2000");        // a server's console
  tree.add("0000:03:00.0", "virtio-pci", "38000", "1AF4:1050");  // a virtual machine's
  tree.add("0000:00:0b.0", "intel_vpu", "120000", "8086:643E");
  tree.add("0000:00:0c.0", "", "120000", "8086:7D1D");          // an NPU without driver
  tree.add("0000:04:00.0", "dfl-pci", "120000", "8086:09C4");   // an FPGA
  tree.add("0000:c5:00.1", "amdxdna", "118000", "1022:17F0");
  tree.add("0000:c5:00.7", "pcie_mp2_amd", "118000", "1022:15E4");  // a hub of sensors
  std::string seen;
  for (const KernelDevice& device : tree.found()) {
    seen += device.facts.bus + " " + std::string(device_kind_name(device.facts.kind)) + "; ";
  }
  EXPECT_EQ(seen, "0000:00:02.0 integrated_gpu; 0000:00:0b.0 npu; 0000:00:0c.0 npu; "
                  "0000:01:00.0 gpu; 0000:c5:00.1 npu; ");
}

TEST(KernelDevices, GraphicsInAnAmdProcessorShareMemory) {
  Tree tree;
  const std::string dir = tree.add("0000:c4:00.0", "amdgpu", "30000", "1002:15BF");
  tree.os.files[dir + "/mem_info_vram_total"] = "536870912\n";
  tree.os.files[dir + "/mem_info_vram_used"] = "134217728\n";
  tree.os.files[dir + "/mem_info_gtt_total"] = "16106127360\n";
  tree.os.files[dir + "/mem_info_gtt_used"] = "1073741824\n";
  EXPECT_EQ(tree.found()[0].facts.kind, DeviceKind::kGpu);  // nothing says otherwise
  tree.os.files[dir + "/gpu_metrics"] = std::string("\x80\x00\x02\x04", 4) + std::string(124, 0);
  const Device device = tree.found()[0].facts;
  EXPECT_EQ(device.kind, DeviceKind::kIntegratedGpu);
  EXPECT_EQ(device.total, Bytes{536870912 + 16106127360});
  EXPECT_EQ(device.free, Bytes{402653184 + 15032385536});
  EXPECT_FALSE(device.link);
}

TEST(KernelDevices, ThrottlingOfAnAmdCard) {
  Tree tree;
  const std::string dir = tree.add("0000:03:00.0", "amdgpu", "30000", "1002:73BF");
  const auto words = [&](const std::string& bits, char content = 3) {
    tree.os.files[dir + "/gpu_metrics"] =
        std::string("\x78\x00\x01", 3) + content + std::string(108, 0) + bits;
    return tree.found()[0].facts.throttled;
  };
  using Words = std::vector<std::string>;
  EXPECT_EQ(words(std::string(8, 0)), Words{});
  EXPECT_EQ(words(std::string("\x01\0\0\0\0\0\0\0", 8)), Words{"power"});
  EXPECT_EQ(words(std::string("\0\0\0\0\x10\0\0\0", 8)), Words{"heat"});
  EXPECT_EQ(words(std::string("\0\0\x01\0\x10\0\0\0", 8)), (Words{"heat", "power"}));
  EXPECT_EQ(words(std::string(8, '\xff')), Words{});  // not filled in
  EXPECT_EQ(words(std::string(7, '\x01')), Words{});  // cut short
  EXPECT_EQ(words(std::string(8, '\x01'), 1), Words{});  // another table
}

TEST(KernelDevices, MemoryOfAnIntelCard) {
  Tree tree;
  const std::string dir = tree.add("0000:03:00.0", "xe", "30000", "8086:E20B");
  EXPECT_EQ(tree.found()[0].facts.total, Bytes{0});
  tree.os.files[dir + "/drm/card0/lmem_total_bytes"] = "17095983104\n";  // Intel's own i915
  EXPECT_EQ(tree.found()[0].facts.total, Bytes{17095983104});
  tree.os.files[dir + "/tile0/physical_vram_size_bytes"] = "12884901888\n";
  EXPECT_EQ(tree.found()[0].facts.total, GiB(12));
  tree.os.files[dir + "/hwmon/hwmon3/temp2_input"] = "51000\n";
  tree.os.files[dir + "/hwmon/hwmon3/power1_max"] = "190000000\n";
  tree.os.files[dir + "/hwmon/hwmon3/energy1_input"] = "1200\n";
  const Device device = tree.found()[0].facts;
  EXPECT_EQ(device.kind, DeviceKind::kGpu);
  EXPECT_EQ(device.temperature_c, 51);
  EXPECT_EQ(device.power_limit_w, 190);
  EXPECT_TRUE(device.energy_counter);
}

TEST(KernelDevices, Links) {
  Tree tree;
  const std::string dir = tree.add("0000:01:00.0", "nvidia", "30000", "10DE:2504");
  const auto link = [&](const char* speed, const char* width) {
    tree.os.files[dir + "/current_link_speed"] = speed;
    tree.os.files[dir + "/current_link_width"] = width;
    return tree.found()[0].facts.link;
  };
  EXPECT_EQ(link("8.0 GT/s PCIe", "4")->generation, 3U);
  EXPECT_EQ(link("8 GT/s", "4")->width, 4U);  // older kernels
  EXPECT_EQ(link("64.0 GT/s PCIe", "16")->generation, 6U);
  for (const auto& [speed, width] : {std::pair{"Unknown", "16"}, {"8.0 GT/s", "0"},
                                     {"8.0 GT/s", "255"}, {"7 GT/s", "16"}, {"", ""}}) {
    EXPECT_FALSE(link(speed, width)) << speed << " x" << width;
  }
  tree.os.files[dir + "/max_link_width"] = "16";
  tree.os.files[dir + "/max_link_speed"] = "16.0 GT/s PCIe";
  EXPECT_EQ(link("2.5 GT/s PCIe", "4")->width_max, 16U);
  EXPECT_EQ(link("2.5 GT/s PCIe", "4")->generation_max, 4U);
}

TEST(KernelDevices, AtTheLimit) {
  Tree tree;
  for (size_t i = 0; i <= kDevicesMax; ++i) {
    tree.add(std::to_string(1000 + i) + ":01:00.0", "nvidia", "30000", "10DE:2504");
  }
  EXPECT_EQ(tree.found().size(), kDevicesMax);
}

TEST(Hex, IsStrict) {
  FakeOs os;
  os.files["/x"] = "0x73bf\n";
  EXPECT_EQ(read_hex(os, "/x"), 0x73bfU);
  for (const char* text : {"", "0x", "73bf", "0xzz", "0x1 2", "0x11111111111111111"}) {
    os.files["/x"] = text;
    EXPECT_EQ(read_hex(os, "/x"), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace gantry
