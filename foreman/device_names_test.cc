// Names by backend and by bus.
#include "foreman/device_names.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

Device card(const std::string& name, const std::string& backend, const std::string& bus) {
  Device device;
  device.name = name;
  device.kind = DeviceKind::kGpu;
  device.backend = backend;
  device.bus = bus;
  return device;
}

TEST(DeviceNames, EachBackendHasItsVariable) {
  using Environment = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(device_environment(card("gpu0", "CUDA1", "")),
            (Environment{{"CUDA_VISIBLE_DEVICES", "1"}}));
  EXPECT_EQ(device_environment(card("gpu0", "ROCm0", "")),
            (Environment{{"HIP_VISIBLE_DEVICES", "0"}}));
  EXPECT_EQ(device_environment(card("gpu0", "Vulkan12", "")),
            (Environment{{"GGML_VK_VISIBLE_DEVICES", "12"}}));
  EXPECT_TRUE(device_environment(card("gpu0", "CPU", "")).empty());
  EXPECT_TRUE(device_environment(card("gpu0", "SYCL0", "")).empty());
}

TEST(DeviceNames, TheBusIsTheSameForEverybody) {
  Machine machine;
  machine.devices = {card("gpu0", "CUDA0", "0000:01:00.0"), card("gpu1", "CUDA1", "")};
  const auto names = device_identities(machine);
  EXPECT_EQ(names.at("cpu"), "host");
  EXPECT_EQ(names.at("gpu0"), "pci:0000:01:00.0");
  EXPECT_EQ(names.at("gpu1"), "name:CUDA1");
}

}  // namespace
}  // namespace gantry
