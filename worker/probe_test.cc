// The probe: three lines, with at least the CPU; and audits through the real program, with drivers
// that work, fail, hang and crash.
#include "worker/probe.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "audit/machine.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

using nlohmann::json;

std::vector<json> lines_of(const ProbeOptions& options) {
  std::vector<json> lines;
  EXPECT_TRUE(probe_devices(options, [&](const std::string& line) {
    EXPECT_EQ(line.find('\n'), std::string::npos);
    lines.push_back(json::parse(line));
    return true;
  }));
  return lines;
}

TEST(Probe, SeesTheCpu) {
  if (!exists(GANTRY_ENGINE_DIR)) GTEST_SKIP() << "the engines are not installed";
  const auto lines = lines_of({GANTRY_ENGINE_DIR, GANTRY_FAKE_NVML});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["nvidia"].size(), 1U);
  bool cpu = false;
  for (const json& device : lines[1]["devices"]) {
    cpu |= device["kind"] == "cpu";
    EXPECT_TRUE(device["backend"].is_string());
    EXPECT_TRUE(device["description"].is_string());
    EXPECT_GE(device["total_bytes"].get<uint64_t>(), device["free_bytes"].get<uint64_t>());
  }
  EXPECT_TRUE(cpu);
  EXPECT_NE(lines[1]["backends"].get<std::string>().find("CPU"), std::string::npos);
  EXPECT_TRUE(lines[2]["openvino"].is_array());
}

TEST(Probe, ABackendThatDoesNotLoadIsAbsent) {
  const TestFolder folder;
  folder.write("libggml-cuda.so", "this is no library");
  EXPECT_TRUE(lines_of({folder.path(), "none.so"})[1]["devices"].is_array());
}

TEST(Probe, EndsWhenNobodyReads) {
  int lines = 0;
  EXPECT_FALSE(probe_devices({"/nowhere", "none.so"}, [&](const std::string&) {
    ++lines;
    return false;
  }));
  EXPECT_EQ(lines, 1);
}

// The real program under the real audit; only the driver's library is ours.
class Driver : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!exists(GANTRY_ENGINE_DIR)) GTEST_SKIP() << "the engines are not installed";
    const char* before = ::getenv("LD_LIBRARY_PATH");
    before_ = before == nullptr ? "" : before;
    ::setenv("LD_LIBRARY_PATH", (GANTRY_FAKE_DRIVERS ":" + before_).c_str(), 1);
  }
  void TearDown() override {
    ::setenv("LD_LIBRARY_PATH", before_.c_str(), 1);
    ::unsetenv("FAKE_NVML");
  }
  static Machine audited(const char* fault) {
    if (fault != nullptr) ::setenv("FAKE_NVML", fault, 1);
    const auto os = make_real_os();
    AuditOptions options;
    options.worker_exe = GANTRY_WORKER_EXE;
    if (fault != nullptr && std::string(fault).ends_with("=hang")) options.probe_max = Millis(300);
    const auto machine = audit(*os, options);
    EXPECT_TRUE(machine) << machine.error().message;
    return machine ? *machine : Machine();
  }
  static const Device* card(const Machine& machine) {
    for (const Device& device : machine.devices) {
      if (device.bus == "0000:01:00.0") return &device;
    }
    return nullptr;
  }

 private:
  std::string before_;
};

TEST_F(Driver, ThatWorks) {
  const Machine machine = audited(nullptr);
  EXPECT_EQ(machine.note, "");
  const Device* found = card(machine);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->total, GiB(12));
  EXPECT_EQ(found->temperature_c, 71);
  EXPECT_EQ(found->link->width, 4U);
  ASSERT_EQ(found->holders.size(), 2U);
  EXPECT_EQ(found->holders[1].name, "Xorg");
  EXPECT_TRUE(found->trouble.starts_with("no engine here drives it: ggml has "));
}

TEST_F(Driver, ThatFailsCostsItsCardsAlone) {
  const Machine machine = audited("nvmlInit_v2=fail");
  EXPECT_EQ(machine.note, "");
  EXPECT_EQ(card(machine), nullptr);
}

TEST_F(Driver, ThatHangs) {
  for (const char* fault : {"nvmlInit_v2=hang", "nvmlDeviceGetMemoryInfo=hang"}) {
    EXPECT_EQ(audited(fault).note,
              "accelerators unknown: no answer within 0.3 s from NVIDIA's driver");
  }
}

TEST_F(Driver, ThatCrashes) {
  EXPECT_EQ(audited("nvmlDeviceGetPowerUsage=crash").note,
            "accelerators unknown: the device probe ended while it asked NVIDIA's driver: killed "
            "by signal 6 (Aborted)");
}

TEST_F(Driver, ThatIsAbsurd) {
  const Machine machine = audited("absurd");
  EXPECT_EQ(machine.note, "");
  EXPECT_EQ(card(machine), nullptr);  // nobody has 16 EiB
}

}  // namespace
}  // namespace gantry
