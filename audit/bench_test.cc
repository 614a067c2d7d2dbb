// Tests of kept bandwidths, and one real measurement (its figures are not judged).
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "audit/facts.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

Machine small_machine() {
  Machine machine;
  machine.cpu.model = "Two Core";
  machine.cpu.threads = 2;
  machine.memory.total = GiB(8);
  machine.memory.available = GiB(1);
  machine.devices.resize(1);
  machine.devices[0].name = "cpu";
  machine.disk.path = "/models";
  return machine;
}

Machine measured_machine() {
  Machine machine = small_machine();
  machine.devices[0].bandwidth.memory_bytes_per_s = 2e10;
  machine.devices[0].step_s = 5e-6;
  machine.devices[0].rates = {{"Q4_0", 2e10, 3e11}, {"Q4_0/plain", 1e10, 1e11}};
  machine.disk.read_bytes_per_s = 1.5e9;
  machine.disk.load_bytes_per_s = 1.1e9;
  return machine;
}

TEST(BenchFile, IsKeptForTheSameMachine) {
  FakeOs os;
  ASSERT_TRUE(save_bench(os, "/state/bench.json", measured_machine()));
  Machine machine = small_machine();
  EXPECT_EQ(merge_bench(os, "/state/bench.json", &machine), "");
  const Device& cpu = machine.devices[0];
  EXPECT_EQ(cpu.bandwidth.memory_bytes_per_s, 2e10);
  EXPECT_EQ(cpu.step_s, 5e-6);
  ASSERT_EQ(cpu.rates.size(), 2U);
  EXPECT_EQ(cpu.rates[1].quantisation, "Q4_0/plain");
  EXPECT_EQ(cpu.rates[1].decode_bytes_per_s, 1e10);
  EXPECT_EQ(cpu.rates[1].prefill_flop_per_s, 1e11);
  EXPECT_EQ(machine.disk.read_bytes_per_s, 1.5e9);
  EXPECT_EQ(machine.disk.load_bytes_per_s, 1.1e9);
  Machine other = small_machine();
  other.memory.total = GiB(16);
  EXPECT_NE(merge_bench(os, "/state/bench.json", &other), "");
  EXPECT_EQ(other.devices[0].bandwidth.memory_bytes_per_s, std::nullopt);
  EXPECT_TRUE(other.devices[0].rates.empty());
  Machine moved = small_machine();
  moved.disk.path = "/elsewhere";
  EXPECT_EQ(merge_bench(os, "/state/bench.json", &moved), "");
  EXPECT_EQ(moved.devices[0].bandwidth.memory_bytes_per_s, 2e10);
  EXPECT_EQ(moved.disk.read_bytes_per_s, std::nullopt);
}

TEST(BenchFile, HoldsSeveralMachines) {
  FakeOs os;
  Machine second = measured_machine();
  second.memory.total = GiB(16);
  second.devices[0].step_s = 7e-6;
  ASSERT_TRUE(save_bench(os, "/b", measured_machine()));
  ASSERT_TRUE(save_bench(os, "/b", second));
  Machine first = small_machine();
  EXPECT_EQ(merge_bench(os, "/b", &first), "");
  EXPECT_EQ(first.devices[0].step_s, 5e-6);
  second.devices[0].step_s.reset();
  EXPECT_EQ(merge_bench(os, "/b", &second), "");
  EXPECT_EQ(second.devices[0].step_s, 7e-6);
}

TEST(BenchFile, AnAcceleratorIsKnownByWhatItIs) {
  FakeOs os;
  Machine machine = measured_machine();
  Device card;
  card.name = "gpu0";
  card.kind = DeviceKind::kGpu;
  card.backend = "CUDA0";
  card.description = "Card A";
  card.bandwidth.host_copy_bytes_per_s = 2.4e10;
  card.rates = {{"F16", 3e11, 5e13}};
  machine.devices.push_back(card);
  ASSERT_TRUE(save_bench(os, "/b", machine));
  machine.devices[1].rates.clear();
  machine.devices[1].bandwidth = {};
  Machine changed = machine;
  changed.devices[1].description = "Card B";
  EXPECT_EQ(merge_bench(os, "/b", &machine), "");
  EXPECT_EQ(merge_bench(os, "/b", &changed), "");
  EXPECT_EQ(machine.devices[1].rates.size(), 1U);
  EXPECT_EQ(machine.devices[1].bandwidth.host_copy_bytes_per_s, 2.4e10);
  EXPECT_TRUE(changed.devices[1].rates.empty());
}

TEST(BenchFile, WhatIsAbsentStaysAbsent) {
  FakeOs os;
  Machine machine = small_machine();
  EXPECT_EQ(merge_bench(os, "/b", &machine), "");  // never measured: nothing to say
  ASSERT_TRUE(save_bench(os, "/b", machine));
  EXPECT_EQ(merge_bench(os, "/b", &machine), "");
  EXPECT_EQ(machine.devices[0].bandwidth.memory_bytes_per_s, std::nullopt);
  EXPECT_EQ(machine.devices[0].step_s, std::nullopt);
}

TEST(BenchFile, OtherVersionsAndDamageAreSaid) {
  FakeOs os;
  for (const char* text : {"", "[]", "{", "{}", R"({"version": 1, "memory_bytes_per_s": 5})",
                           R"({"version": "2"})", R"({"version": 2})",
                           R"({"version": 2, "machines": []})"}) {
    Machine machine = small_machine();
    os.files["/b"] = text;
    EXPECT_NE(merge_bench(os, "/b", &machine), "") << text;
    EXPECT_EQ(machine.devices[0].bandwidth.memory_bytes_per_s, std::nullopt) << text;
    EXPECT_TRUE(save_bench(os, "/b", measured_machine())) << text;
    EXPECT_EQ(merge_bench(os, "/b", &machine), "") << text;
  }
}

TEST(BenchFile, NonsenseIsIgnored) {
  FakeOs os;
  Machine machine = small_machine();
  const std::string front =
      R"({"version": 2, "machines": {")" + machine_mark(machine) + R"(": )", back = "}}";
  for (const char* text :
       {"5", "[]", R"({"devices": 5})", R"({"devices": [5]})", R"({"devices": [{"device": 5}]})",
        R"({"devices": [{"device": "cpu", "memory_bytes_per_s": -5}]})",
        R"({"devices": [{"device": "cpu", "memory_bytes_per_s": "fast", "step_s": 1e300}]})",
        R"({"devices": [{"device": "cpu", "rates": [{"quantisation": "F16"}, 5,
            {"quantisation": "F16", "decode_bytes_per_s": 0, "prefill_flop_per_s": 1}]}]})",
        R"({"disk_path": "/models", "read_bytes_per_s": -1})"}) {
    os.files["/b"] = front + text + back;
    merge_bench(os, "/b", &machine);
    EXPECT_EQ(machine.devices[0].bandwidth.memory_bytes_per_s, std::nullopt) << text;
    EXPECT_EQ(machine.devices[0].step_s, std::nullopt) << text;
    EXPECT_TRUE(machine.devices[0].rates.empty()) << text;
    EXPECT_EQ(machine.disk.read_bytes_per_s, std::nullopt) << text;
  }
}

TEST(BenchFile, AFullDiskIsReported) {
  FakeOs os;
  os.fail_at(2, {Code::kDiskFull, "full"});  // the first operation looks for what was kept
  EXPECT_EQ(save_bench(os, "/state/b", small_machine()).error().code, Code::kDiskFull);
}

TEST(Bench, CancelledKeepsNothing) {
  const auto os = make_real_os();
  const auto dir =
      std::filesystem::temp_directory_path() / ("gantry-bench-stop-" + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  const AuditOptions options = {"", "", (dir / "bench.json").string()};
  auto machine = audit(*os, options);
  ASSERT_TRUE(machine) << machine.error().message;
  const std::atomic<bool> cancel = true;
  EXPECT_EQ(bench(*os, options, &*machine, {{}, &cancel}).error().code, Code::kCancelled);
  EXPECT_FALSE(machine->devices[0].bandwidth.memory_bytes_per_s);
  EXPECT_TRUE(std::filesystem::is_empty(dir));
  std::filesystem::remove_all(dir);
}

TEST(Bench, MeasuresThisMachineAndLeavesNothing) {
  const auto os = make_real_os();
  const auto dir =
      std::filesystem::temp_directory_path() / ("gantry-bench-test-" + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  const AuditOptions options = {dir.string(), "", (dir / "state" / "bench.json").string()};
  auto machine = audit(*os, options);
  ASSERT_TRUE(machine) << machine.error().message;
  const auto done = bench(*os, options, &*machine);
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_TRUE(machine->devices[0].bandwidth.memory_bytes_per_s);
  RecordProperty("memory_gb_per_s",
                 std::to_string(*machine->devices[0].bandwidth.memory_bytes_per_s / 1e9));
  RecordProperty("disk_gb_per_s", std::to_string(machine->disk.read_bytes_per_s.value_or(0) / 1e9));
  EXPECT_GT(*machine->devices[0].bandwidth.memory_bytes_per_s, 1e6);
  const auto again = audit(*os, options);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->devices[0].bandwidth.memory_bytes_per_s,
            machine->devices[0].bandwidth.memory_bytes_per_s);
  size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    EXPECT_EQ(entry.path().filename(), "state");
    ++left;
  }
  EXPECT_EQ(left, 1U);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace gantry
