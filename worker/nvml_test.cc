// NVML through the real dlopen: a library of ours with NVML's names stands in for the driver's.
#include "worker/nvml.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

// The stand-in's faults are asked for by the environment.
class Nvml : public ::testing::Test {
 protected:
  void TearDown() override {
    ::unsetenv("FAKE_NVML");
    ::unsetenv("FAKE_NVML_REASONS");
  }
  static json with(const char* fault) {
    ::setenv("FAKE_NVML", fault, 1);
    return nvidia_cards(GANTRY_FAKE_NVML);
  }
};

TEST_F(Nvml, EveryFactOfACard) {
  const json found = nvidia_cards(GANTRY_FAKE_NVML);
  EXPECT_EQ(found["trouble"], "");
  ASSERT_EQ(found["nvidia"].size(), 1U);
  const json& card = found["nvidia"][0];
  EXPECT_EQ(card["description"], "NVIDIA GeForce RTX 3060");
  EXPECT_EQ(card["bus"], "0000:01:00.0");
  EXPECT_EQ(card["total_bytes"], 12288ULL << 20);
  EXPECT_EQ(card["free_bytes"], 11000ULL << 20);
  EXPECT_EQ(card["temperature_c"], 71);
  EXPECT_EQ(card["power_w"], 42.5);
  EXPECT_EQ(card["power_limit_w"], 170.0);
  EXPECT_EQ(card["energy_counter"], true);
  EXPECT_EQ(card["throttled"], json::array());  // idle is no throttling
  EXPECT_EQ(card["link"], json({{"generation", 1}, {"width", 4}, {"generation_max", 4},
                                {"width_max", 16}}));
  const json& holders = card["holders"];
  ASSERT_EQ(holders.size(), 2U);  // on both lists once; without a figure not at all
  EXPECT_EQ(holders[0], json({{"pid", 4242}, {"name", ""}, {"bytes", 700ULL << 20}}));
  EXPECT_EQ(holders[1], json({{"pid", 1207}, {"name", "Xorg"}, {"bytes", 350ULL << 20}}));
}

TEST_F(Nvml, ReasonsForThrottling) {
  const auto words = [](const char* bits) {
    ::setenv("FAKE_NVML_REASONS", bits, 1);
    return nvidia_cards(GANTRY_FAKE_NVML)["nvidia"][0]["throttled"].dump();
  };
  EXPECT_EQ(words("0x20"), R"(["heat"])");
  EXPECT_EQ(words("0x48"), R"(["heat"])");
  EXPECT_EQ(words("0x4"), R"(["power"])");
  EXPECT_EQ(words("0xa0"), R"(["heat","power"])");
  EXPECT_EQ(words("0x8"), R"(["hardware"])");
  EXPECT_EQ(words("0x113"), "[]");  // idle, clocks that somebody set, display, sync boost
}

TEST_F(Nvml, NoLibraryIsNoTrouble) {
  const json nothing = {{"nvidia", json::array()}, {"trouble", ""}};
  EXPECT_EQ(nvidia_cards("libnvidia-ml-that-is-not-there.so.1"), nothing);
}

TEST_F(Nvml, FunctionsThatAreMissing) {
  const json found = nvidia_cards(GANTRY_FAKE_NVML_PARTIAL);
  EXPECT_TRUE(found["nvidia"].empty());
  EXPECT_EQ(found["trouble"], "NVML is too old, or broken: it lacks functions");
}

TEST_F(Nvml, CallsThatFail) {
  EXPECT_EQ(with("nvmlInit_v2=fail")["trouble"], "Driver/library version mismatch");
  EXPECT_EQ(with("nvmlDeviceGetCount_v2=fail")["trouble"], "Not Supported");
  for (const char* fault : {"nvmlDeviceGetHandleByIndex_v2=fail", "nvmlDeviceGetMemoryInfo=fail",
                            "nvmlDeviceGetPciInfo_v3=fail"}) {
    const json found = with(fault);
    EXPECT_TRUE(found["nvidia"].empty()) << fault;
    EXPECT_NE(found["trouble"], "") << fault;
  }
  const json cooler = with("nvmlDeviceGetTemperature=fail");
  EXPECT_EQ(cooler["trouble"], "");
  EXPECT_FALSE(cooler["nvidia"][0].contains("temperature_c"));
  EXPECT_EQ(cooler["nvidia"][0]["power_w"], 42.5);
  EXPECT_EQ(with("nvmlDeviceGetComputeRunningProcesses_v3=fail")["nvidia"][0]["holders"].size(),
            2U);  // the other list
}

TEST_F(Nvml, AbsurdValuesAreNoCrash) {
  const json found = with("absurd");
  ASSERT_EQ(found["nvidia"].size(), 1U);  // of the 4,294,967,295 that it counted
  EXPECT_LE(found["nvidia"][0]["holders"].size(), 2048U);
  EXPECT_NE(found["trouble"], "");
}

}  // namespace
}  // namespace gantry
