// Tests of what becomes one device.
#include <gtest/gtest.h>

#include "audit/facts.h"

namespace gantry {
namespace {

Device device(DeviceKind kind, const std::string& backend, const std::string& bus, Bytes total) {
  Device out;
  out.kind = kind;
  out.backend = backend;
  out.description = "NVIDIA Card";
  out.bus = bus;
  out.total = total;
  out.free = total;
  return out;
}

Probed whole() {
  Probed probed;
  probed.nvidia.emplace();
  probed.engines.emplace();
  probed.openvino.emplace();
  probed.backends = "CUDA, CPU";
  return probed;
}

KernelDevice kernel(uint32_t vendor, const std::string& driver, const std::string& bus) {
  KernelDevice out;
  out.vendor = vendor;
  out.driver = driver;
  out.facts.kind = DeviceKind::kGpu;
  out.facts.bus = bus;
  return out;
}

constexpr auto kGpu = DeviceKind::kGpu;

TEST(Join, TwoEnginesOfOneCardAreOneDevice) {
  Probed probed = whole();
  probed.engines = {device(kGpu, "CUDA0", "0000:01:00.0", GiB(12)),
                    device(kGpu, "Vulkan0", "0000:01:00.0", GiB(12)),
                    device(kGpu, "Vulkan1", "0000:02:00.0", GiB(8))};
  const auto devices = join_devices(probed, {});
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].backend, "CUDA0");
  EXPECT_EQ(devices[1].backend, "Vulkan1");
  EXPECT_EQ(devices[1].name, "gpu1");
}

TEST(Join, AnEngineWithoutAddressMeansTheOnlyCardOfItsMaker) {
  Probed probed = whole();
  probed.engines = {device(kGpu, "SYCL0", "", GiB(16))};
  probed.engines->front().description = "Intel(R) Arc(TM) A770";
  const KernelDevice arc = kernel(0x8086, "xe", "0000:03:00.0");
  auto devices = join_devices(probed, {arc, kernel(0x1002, "amdgpu", "0000:06:00.0")});
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].bus, "0000:03:00.0");
  EXPECT_EQ(devices[0].trouble, "");
  EXPECT_NE(devices[1].trouble, "");
  // Of two without an address, nobody knows which.
  probed.engines->push_back(probed.engines->front());
  devices = join_devices(probed, {arc});
  EXPECT_EQ(devices.size(), 3U);
}

TEST(Join, APartOfACardKeepsItsSize) {
  Probed probed = whole();
  probed.nvidia = {device(kGpu, "", "0000:01:00.0", GiB(80))};
  probed.nvidia->front().temperature_c = 50;
  probed.engines = {device(kGpu, "CUDA0", "0000:01:00.0", GiB(10))};  // MIG
  const auto devices = join_devices(probed, {});
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0].total, GiB(10));
  EXPECT_EQ(devices[0].temperature_c, 50);
}

TEST(Join, TroubleSaysWhy) {
  const auto trouble = [](const Probed& probed, const KernelDevice& card) {
    const auto devices = join_devices(probed, {card});
    return devices.empty() ? "no device" : devices[0].trouble;
  };
  const std::string bus = "0000:01:00.0";
  EXPECT_EQ(trouble(whole(), kernel(0x10de, "", bus)), "the kernel has no driver for it");
  EXPECT_EQ(trouble(whole(), kernel(0x10de, "vfio-pci", bus)),
            "given away to virtual machines (vfio-pci)");
  EXPECT_EQ(trouble(whole(), kernel(0x10de, "nouveau", bus)),
            "driven by nouveau, which no engine uses");
  EXPECT_EQ(trouble(whole(), kernel(0x1002, "amdgpu", bus)),
            "no engine here drives it: ggml has CUDA, CPU only");
  Probed probed = whole();
  probed.nvidia_trouble = "GPU is lost";
  EXPECT_EQ(trouble(probed, kernel(0x10de, "nvidia", bus)),
            "its driver does not work: GPU is lost");
  EXPECT_EQ(trouble(probed, kernel(0x1002, "amdgpu", bus)),
            "no engine here drives it: ggml has CUDA, CPU only");
  KernelDevice npu = kernel(0x8086, "intel_vpu", bus);
  npu.facts.kind = DeviceKind::kNpu;
  probed.openvino.reset();
  probed.fault = "no answer within 10 s from OpenVINO";
  EXPECT_EQ(trouble(probed, npu), "not known: no answer within 10 s from OpenVINO");
}

TEST(Join, ACardThatOnlyNvmlSeesHasNoEngine) {
  Probed probed = whole();
  probed.backends = "CPU";
  probed.nvidia = {device(kGpu, "", "0000:01:00.0", GiB(12))};
  const auto devices = join_devices(probed, {kernel(0x10de, "nvidia", "0000:01:00.0")});
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0].trouble, "no engine here drives it: ggml has CPU only");
}

TEST(Join, AtTheLimit) {
  Probed probed = whole();
  for (size_t i = 0; i < kDevicesMax; ++i) {
    probed.engines->push_back(device(kGpu, "X", "", GiB(1)));
  }
  EXPECT_EQ(join_devices(probed, {}).size(), kDevicesMax - 1);
  probed.engines->resize(kDevicesMax - 2);
  EXPECT_EQ(join_devices(probed, {}).size(), kDevicesMax - 2);
}

}  // namespace
}  // namespace gantry
