// Tests of the device probe's answers.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "audit/fake_probe.h"

namespace gantry {
namespace {

TEST(Probe, NamesAcceleratorsAndSkipsTheRest) {
  FakeOs os;
  script_probe(&os, std::string(R"({"devices": [
    {"backend": "CPU", "description": "c", "kind": "cpu", "total_bytes": 9, "free_bytes": 9},
    {"backend": "CUDA0", "description": "GeForce", "kind": "gpu", "total_bytes": 100,
     "free_bytes": 90},
    {"backend": "Vulkan0", "description": "Iris", "kind": "integrated_gpu", "total_bytes": 50,
     "free_bytes": 60},
    {"backend": "BLAS", "kind": "accelerator", "total_bytes": 0, "free_bytes": 0},
    {"backend": "NPU", "kind": "npu", "total_bytes": 0, "free_bytes": 0},
    {"backend": "odd", "kind": "gpu", "total_bytes": -1, "free_bytes": 0},
    {"kind": 5}, 7]})"));
  const auto devices = probe_accelerators(os, "/bin/gantry-worker");
  ASSERT_TRUE(devices) << devices.error().message;
  ASSERT_EQ(devices->size(), 3U);
  EXPECT_EQ((*devices)[0].name, "gpu0");
  EXPECT_EQ((*devices)[0].backend, "CUDA0");
  EXPECT_EQ((*devices)[0].free, Bytes{90});
  EXPECT_EQ((*devices)[1].name, "gpu1");
  EXPECT_EQ((*devices)[1].kind, DeviceKind::kIntegratedGpu);
  EXPECT_EQ((*devices)[1].free, Bytes{50});  // never more than there is
  EXPECT_EQ((*devices)[2].name, "npu0");
}

TEST(Probe, NonsenseIsAnError) {
  FakeOs os;
  for (const char* line : {"", "{}", "[]", "{\"devices\": 5}", "not json", "{\"devices\": ["}) {
    script_probe(&os, std::string(line));
    EXPECT_EQ(probe_accelerators(os, "w").error().code, Code::kWorkerFailed) << line;
  }
  script_probe(&os, fail(Code::kTimeout, "time ran out"));
  EXPECT_EQ(probe_accelerators(os, "w").error().code, Code::kTimeout);
  script_probe(&os, std::string(300'000, 'x'));
  EXPECT_EQ(probe_accelerators(os, "w").error().code, Code::kTooLarge);
  os.on_spawn = nullptr;
  EXPECT_EQ(probe_accelerators(os, "w").error().code, Code::kNotFound);
}

TEST(Probe, DevicesAtTheLimit) {
  std::string rows;
  for (size_t i = 0; i < kDevicesMax + 5; ++i) {
    rows += R"({"kind": "gpu", "total_bytes": 1, "free_bytes": 1},)";
  }
  rows.pop_back();
  FakeOs os;
  script_probe(&os, "{\"devices\": [" + rows + "]}");
  EXPECT_EQ(probe_accelerators(os, "w")->size(), kDevicesMax - 1);  // the CPU is one more
}

}  // namespace
}  // namespace gantry
