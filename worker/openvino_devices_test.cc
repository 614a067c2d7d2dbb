// OpenVINO's NPUs through the real dlopen, with a library of ours in its place.
#include "worker/openvino_devices.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "worker/test_bench.h"

namespace gantry {
namespace {

using nlohmann::json;

const json kNothing = {{"openvino", json::array()}};

TEST(OpenVino, AnNpuWithItsMemory) {
  const json found = openvino_devices({"not-there.so", GANTRY_FAKE_OPENVINO});
  ASSERT_EQ(found["openvino"].size(), 1U);  // CPU and GPU are others' business
  EXPECT_EQ(found["openvino"][0], json({{"backend", "NPU"},
                                        {"description", "Intel(R) AI Boost"},
                                        {"kind", "npu"},
                                        {"total_bytes", 17179869184},
                                        {"free_bytes", 16106127360}}));
}

TEST(OpenVino, NotInstalledNotWholeNotWorking) {
  EXPECT_EQ(openvino_devices({}), kNothing);
  EXPECT_EQ(openvino_devices({"not-there.so"}), kNothing);
  EXPECT_EQ(openvino_devices({GANTRY_FAKE_NVML}), kNothing);  // a library of other functions
  ::setenv("FAKE_OPENVINO", "fail", 1);
  EXPECT_EQ(openvino_devices({GANTRY_FAKE_OPENVINO}), kNothing);
  ::unsetenv("FAKE_OPENVINO");
}

TEST(OpenVino, WhereItIsLookedFor) {
  ::unsetenv("INTEL_OPENVINO_DIR");
  EXPECT_EQ(openvino_libraries("/e"),
            (std::vector<std::string>{"/e/libopenvino_c.so", "libopenvino_c.so"}));
  ::setenv("INTEL_OPENVINO_DIR", "/opt/intel/openvino", 1);
  EXPECT_EQ(openvino_libraries("/e")[1],
            "/opt/intel/openvino/runtime/lib/intel64/libopenvino_c.so");
  ::unsetenv("INTEL_OPENVINO_DIR");
}

}  // namespace
}  // namespace gantry
