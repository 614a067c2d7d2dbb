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
  EXPECT_EQ(openvino_libraries("/not/there").back(), "libopenvino_c.so");
  const TestFolder engines, root;
  engines.write("libopenvino_c.so.2641", "");
  engines.write("libopenvino.so.2641", "");
  std::filesystem::create_directories(root.file("runtime/lib/intel64"));
  root.write("runtime/lib/intel64/libopenvino_c.so", "");
  ::setenv("INTEL_OPENVINO_DIR", root.path().c_str(), 1);
  const auto found = openvino_libraries(engines.path());
  ::unsetenv("INTEL_OPENVINO_DIR");
  ASSERT_GE(found.size(), 3U);
  EXPECT_EQ(found[0], engines.file("libopenvino_c.so.2641"));
  EXPECT_EQ(found[1], root.file("runtime/lib/intel64/libopenvino_c.so"));
}

}  // namespace
}  // namespace gantry
