// Tests of memory: the machine's, and what control groups leave of it.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

FakeOs with_memory() {
  FakeOs os;
  os.files["/proc/meminfo"] =
      "MemTotal:       16777216 kB\nMemFree:         1048576 kB\n"
      "MemAvailable:   12582912 kB\nCached:          2097152 kB\n";
  return os;
}

Memory memory_of(FakeOs& os) {
  auto memory = read_memory(os);
  EXPECT_TRUE(memory) << memory.error().message;
  return memory ? *memory : Memory();
}

TEST(MemoryFacts, WithoutGroups) {
  FakeOs os = with_memory();
  const Memory memory = memory_of(os);
  EXPECT_EQ(memory.total, GiB(16));
  EXPECT_EQ(memory.available, GiB(12));
  EXPECT_EQ(memory.cgroup_limit, std::nullopt);
  EXPECT_EQ(memory.usable(), GiB(12));
}

TEST(MemoryFacts, OldKernelsHaveNoMemAvailable) {
  FakeOs os;
  os.files["/proc/meminfo"] = "MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 200 kB\n";
  EXPECT_EQ(memory_of(os).available, KiB(300));
}

TEST(MemoryFacts, TheGroupThatLeavesLeastCounts) {
  FakeOs os = with_memory();
  os.files["/proc/self/cgroup"] = "0::/user/app\n";
  os.files["/sys/fs/cgroup/user/app/memory.max"] = "max\n";
  os.files["/sys/fs/cgroup/user/memory.max"] = "8589934592\n";
  os.files["/sys/fs/cgroup/user/memory.current"] = "3221225472\n";
  os.files["/sys/fs/cgroup/user/memory.stat"] = "anon 1\ninactive_file 1073741824\n";
  Memory memory = memory_of(os);
  EXPECT_EQ(memory.cgroup_limit, GiB(8));
  EXPECT_EQ(memory.cgroup_used, GiB(2));
  EXPECT_EQ(memory.usable(), GiB(6));
  os.files["/sys/fs/cgroup/user/app/memory.max"] = "7516192768\n";  // lower, but empty
  os.files["/sys/fs/cgroup/user/app/memory.current"] = "0\n";
  EXPECT_EQ(memory_of(os).usable(), GiB(6));
  os.files["/sys/fs/cgroup/user/app/memory.max"] = "1073741824\n";
  EXPECT_EQ(memory_of(os).usable(), GiB(1));
}

TEST(MemoryFacts, LimitsAboveTheMachineAreNone) {
  FakeOs os = with_memory();
  os.files["/proc/self/cgroup"] = "4:memory:/box\n0::/\n";
  os.files["/sys/fs/cgroup/memory/box/memory.limit_in_bytes"] = "9223372036854771712\n";
  EXPECT_EQ(memory_of(os).cgroup_limit, std::nullopt);
  os.files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "4294967296\n";
  os.files["/sys/fs/cgroup/memory/memory.usage_in_bytes"] = "2147483648\n";
  os.files["/sys/fs/cgroup/memory/memory.stat"] = "total_inactive_file 1073741824\n";
  EXPECT_EQ(memory_of(os).usable(), GiB(3));
}

TEST(MemoryFacts, MoreUsedThanGrantedLeavesNothing) {
  FakeOs os = with_memory();
  os.files["/proc/self/cgroup"] = "0::/\n";
  os.files["/sys/fs/cgroup/memory.max"] = "1000\n";
  os.files["/sys/fs/cgroup/memory.current"] = "2000\n";
  EXPECT_EQ(memory_of(os).usable(), Bytes{0});
}

TEST(MemoryFacts, WithoutProcItFails) {
  FakeOs os;
  EXPECT_EQ(read_memory(os).error().code, Code::kNotFound);
  for (const char* text : {"", "MemTotal:", "MemTotal: x kB", "MemTotalX: 5 kB",
                           "MemTotal: 99999999999999999999 kB"}) {
    os.files["/proc/meminfo"] = text;
    EXPECT_EQ(read_memory(os).error().code, Code::kCorrupt) << text;
  }
}

TEST(CgroupDirs, InnermostFirst) {
  FakeOs os;
  EXPECT_TRUE(cgroup_dirs(os, "memory").v2.empty());
  os.files["/proc/self/cgroup"] = "9:name=systemd:/x\n4:memory:/a\n0::/b/c\nmalformed\n";
  const CgroupDirs dirs = cgroup_dirs(os, "memory");
  EXPECT_EQ(dirs.v2, (std::vector<std::string>{"/sys/fs/cgroup/b/c", "/sys/fs/cgroup/b",
                                               "/sys/fs/cgroup"}));
  EXPECT_EQ(dirs.v1,
            (std::vector<std::string>{"/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"}));
}

}  // namespace
}  // namespace gantry
