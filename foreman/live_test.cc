// Live facts and reserves, over files of a machine in memory.
#include "foreman/live.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

std::string meminfo(Bytes total, Bytes available) {
  return "MemTotal: " + std::to_string(total.n >> 10) + " kB\nMemAvailable: " +
         std::to_string(available.n >> 10) + " kB\n";
}

Machine machine() {
  Machine made;
  made.memory.total = GiB(16);
  made.memory.available = GiB(10);
  Device gpu;
  gpu.name = "gpu0";
  gpu.backend = "CUDA0";
  gpu.kind = DeviceKind::kGpu;
  gpu.total = GiB(8);
  gpu.free = GiB(6);
  made.devices = {gpu};
  return made;
}

TEST(Live, ReservesAreBytesOrSharesByDevice) {
  Config config;
  EXPECT_EQ(reserve_of(config, "cpu", GiB(16)), Bytes{});
  config.reserve[""] = Budget{GiB(1), std::nullopt};
  config.reserve["gpu0"] = Budget{std::nullopt, 0.25};
  EXPECT_EQ(reserve_of(config, "cpu", GiB(16)), GiB(1));
  EXPECT_EQ(reserve_of(config, "gpu0", GiB(8)), GiB(2));
  EXPECT_EQ(reserve_of(config, "gpu1", GiB(8)), GiB(1));
  Machine left = without_reserve(machine(), config);
  EXPECT_EQ(left.memory.usable(), GiB(9));
  EXPECT_EQ(left.devices[0].free, GiB(4));
  EXPECT_EQ(left.memory.total, GiB(16));
  Machine limited = machine();
  limited.memory.cgroup_limit = GiB(4);
  limited.memory.cgroup_used = GiB(1);
  EXPECT_EQ(without_reserve(limited, config).memory.usable(), GiB(2));
  config.reserve["cpu"] = Budget{GiB(100), std::nullopt};
  EXPECT_EQ(without_reserve(machine(), config).memory.usable(), Bytes{});
}

TEST(Live, HostMemoryIsReadEachTime) {
  FakeOs os;
  const Machine here = machine();
  Config config;
  config.reserve["cpu"] = Budget{GiB(1), std::nullopt};
  os.files["/proc/meminfo"] = meminfo(GiB(16), GiB(10));
  const auto live = real_live(os, here, config, "");
  EXPECT_EQ(live->look({"cpu"}).at(0).free, GiB(9));
  os.files["/proc/meminfo"] = meminfo(GiB(16), GiB(3));
  EXPECT_EQ(live->look({"cpu"}).at(0).free, GiB(2));
  EXPECT_EQ(live->look({"cpu"}).at(0).stalled, 0);
  EXPECT_FALSE(live->look({"cpu"}).at(0).temperature_c);
  os.files["/proc/pressure/memory"] = "some avg10=12.50 avg60=1.00 avg300=0.20 total=99\n"
                                      "full avg10=3.00 avg60=0.00 avg300=0.00 total=9\n";
  EXPECT_EQ(live->look({"cpu"}).at(0).stalled, 12.5);
  os.files["/proc/pressure/memory"] = "some avg10=much\n";
  EXPECT_EQ(live->look({"cpu"}).at(0).stalled, 0);
  os.files["/proc/meminfo"] = "nonsense";
  EXPECT_TRUE(live->look({"cpu"}).empty());  // an unknown fact stops nobody
  EXPECT_TRUE(live->look({"gpu0"}).empty());  // no probe, no fact
}

TEST(Live, TheLargestOtherProgram) {
  FakeOs os;
  const Machine here = machine();
  const Config config;
  const auto live = real_live(os, here, config, "");
  EXPECT_FALSE(live->largest_holder({}));
  const auto process = [&](int pid, const std::string& name, uint64_t pages) {
    const std::string dir = "/proc/" + std::to_string(pid);
    os.dirs.insert(dir);
    os.files[dir + "/statm"] = "99999999 " + std::to_string(pages) + " 0 0 0 0 0";
    os.files[dir + "/comm"] = name + "\n";
  };
  os.dirs.insert("/proc");
  os.dirs.insert("/proc/self");
  process(10, "small", 10);
  process(20, "balloon", 3000);
  process(30, "worker", 9000);
  process(::getpid(), "ourselves", 99'000);
  const auto holder = live->largest_holder({30});
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->pid, 20);
  EXPECT_EQ(holder->name, "balloon");
  EXPECT_EQ(holder->bytes.n, 3000U * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
}

}  // namespace
}  // namespace gantry
