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

TEST(BenchFile, IsKeptForTheSameMachine) {
  FakeOs os;
  Machine machine = small_machine();
  ASSERT_TRUE(save_bench(os, "/state/bench.json", machine, {2e10, "/models", 1.5e9}));
  merge_bench(os, "/state/bench.json", &machine);
  EXPECT_EQ(machine.devices[0].bandwidth.memory_bytes_per_s, 2e10);
  EXPECT_EQ(machine.disk.read_bytes_per_s, 1.5e9);
  Machine other = small_machine();
  other.memory.total = GiB(16);
  merge_bench(os, "/state/bench.json", &other);
  EXPECT_EQ(other.devices[0].bandwidth.memory_bytes_per_s, std::nullopt);
  Machine moved = small_machine();
  moved.disk.path = "/elsewhere";
  merge_bench(os, "/state/bench.json", &moved);
  EXPECT_EQ(moved.devices[0].bandwidth.memory_bytes_per_s, 2e10);
  EXPECT_EQ(moved.disk.read_bytes_per_s, std::nullopt);
}

TEST(BenchFile, WhatIsAbsentStaysAbsent) {
  FakeOs os;
  Machine machine = small_machine();
  ASSERT_TRUE(save_bench(os, "/b", machine, {}));
  merge_bench(os, "/b", &machine);
  EXPECT_EQ(machine.devices[0].bandwidth.memory_bytes_per_s, std::nullopt);
}

TEST(BenchFile, NonsenseIsIgnored) {
  FakeOs os;
  Machine machine = small_machine();
  const std::string mark = machine_mark(machine);
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{"), std::string("{\"version\": 2}"),
        R"({"version": 1, "machine": ")" + mark + R"(", "memory_bytes_per_s": -5})",
        R"({"version": 1, "machine": ")" + mark + R"(", "memory_bytes_per_s": "fast"})",
        R"({"version": 1, "machine": ")" + mark + R"(", "memory_bytes_per_s": 1e300})"}) {
    os.files["/b"] = text;
    merge_bench(os, "/b", &machine);
    EXPECT_EQ(machine.devices[0].bandwidth.memory_bytes_per_s, std::nullopt) << text;
  }
}

TEST(BenchFile, AFullDiskIsReported) {
  FakeOs os;
  os.fail_at(1, {Code::kDiskFull, "full"});
  EXPECT_EQ(save_bench(os, "/state/b", small_machine(), {}).error().code, Code::kDiskFull);
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
