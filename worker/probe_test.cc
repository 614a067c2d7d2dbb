// The probe: JSON with at least the CPU, whatever else loads or not.
#include "worker/probe.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "worker/test_bench.h"

namespace gantry {
namespace {

TEST(Probe, SeesTheCpu) {
  if (!exists(GANTRY_ENGINE_DIR)) GTEST_SKIP() << "the engines are not installed";
  const nlohmann::json probe = nlohmann::json::parse(probe_devices(GANTRY_ENGINE_DIR));
  bool cpu = false;
  for (const nlohmann::json& device : probe["devices"]) {
    cpu |= device["kind"] == "cpu";
    EXPECT_TRUE(device["backend"].is_string());
    EXPECT_TRUE(device["description"].is_string());
    EXPECT_GE(device["total_bytes"].get<uint64_t>(), device["free_bytes"].get<uint64_t>());
  }
  EXPECT_TRUE(cpu);
}

TEST(Probe, ABackendThatDoesNotLoadIsAbsent) {
  const TestFolder folder;
  folder.write("libggml-cuda.so", "this is no library");
  EXPECT_TRUE(nlohmann::json::parse(probe_devices(folder.path()))["devices"].is_array());
}

}  // namespace
}  // namespace gantry
