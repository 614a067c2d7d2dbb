// Tests of the whole audit, on machines made of texts and on this one.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "audit/fake_probe.h"

namespace gantry {
namespace {

FakeOs small_machine() {
  FakeOs os;
  os.files["/proc/cpuinfo"] = "model name : Two Core\nflags : avx2\n";
  os.files["/proc/self/status"] = "Cpus_allowed_list: 0-1\n";
  os.files["/proc/meminfo"] = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n";
  os.dirs.insert("/models");
  os.space = GiB(50);
  return os;
}

TEST(Audit, AMachineWithoutAccelerators) {
  FakeOs os = small_machine();
  script_probe(&os, probe_of(""));
  const auto machine = audit(os, {"/models", "/bin/gantry-worker", ""});
  ASSERT_TRUE(machine) << machine.error().message;
  EXPECT_EQ(machine->id, "local");
  ASSERT_EQ(machine->devices.size(), 1U);
  EXPECT_EQ(machine->devices[0].free, GiB(4));
  EXPECT_EQ(machine->devices[0].verdict,
            "2 threads, 8.0 GiB RAM, 4.0 GiB usable; no accelerator: models run here");
  EXPECT_EQ(machine->disk.free, GiB(50));
}

TEST(Audit, AcceleratorsComeAfterTheCpu) {
  FakeOs os = small_machine();
  script_probe(&os, probe_of(R"({"backend": "CUDA0", "description": "Card",
                  "kind": "gpu", "total_bytes": 8589934592, "free_bytes": 8589934592})"));
  const auto machine = audit(os, {"", "w", ""});
  ASSERT_TRUE(machine);
  ASSERT_EQ(machine->devices.size(), 2U);
  EXPECT_EQ(machine->devices[1].verdict, "8 GB card: plan with 8.0 GiB");
}

TEST(Audit, ABrokenProbeIsANoteInTheVerdict) {
  FakeOs os = small_machine();
  script_probe(&os, {}, Code::kTimeout);
  const auto machine = audit(os, {"/models", "w", ""});
  ASSERT_TRUE(machine);
  EXPECT_EQ(machine->note,
            "accelerators unknown: no answer within 10 s from NVIDIA's driver");
  EXPECT_TRUE(machine->devices[0].verdict.ends_with("; " + machine->note));
}

TEST(Audit, OnlyProcIsNeeded) {
  for (const char* path : {"/proc/cpuinfo", "/proc/meminfo"}) {
    FakeOs os = small_machine();
    os.files.erase(path);
    EXPECT_EQ(audit(os, {}).error().code, Code::kNotFound) << path;
  }
}

TEST(Audit, EveryFailingReadIsAnsweredOrForgiven) {
  FakeOs whole = small_machine();
  script_probe(&whole, probe_of(""));
  ASSERT_TRUE(audit(whole, {"/models", "w", "/bench.json"}));
  const uint64_t operations = whole.operations();
  ASSERT_GT(operations, 5U);
  uint64_t failed = 0;
  for (uint64_t n = 0; n < operations; ++n) {
    FakeOs os = small_machine();
    script_probe(&os, probe_of(""));
    os.fail_at(n, {Code::kIo, "injected"});
    const auto machine = audit(os, {"/models", "w", "/bench.json"});
    if (!machine) {
      EXPECT_EQ(machine.error().code, Code::kIo);
      ++failed;
    }
  }
  EXPECT_EQ(failed, 2U);  // cpuinfo and meminfo
}

TEST(Audit, ThisMachine) {
  const auto os = make_real_os();
  const auto machine = audit(*os, {"/tmp", "", ""});
  ASSERT_TRUE(machine) << machine.error().message;
  EXPECT_GE(machine->cpu.threads, 1U);
  EXPECT_FALSE(machine->cpu.p_cores.empty());
  EXPECT_GT(machine->memory.total, MiB(100));
  EXPECT_LE(machine->memory.usable(), machine->memory.total);
  EXPECT_GT(machine->disk.free.n, 0U);
}

}  // namespace
}  // namespace gantry
