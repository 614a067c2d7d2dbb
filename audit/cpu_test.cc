// Tests of processors: lists, limits of control groups, kinds of cores.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

FakeOs machine_of(const std::string& allowed) {
  FakeOs os;
  os.files["/proc/cpuinfo"] =
      "processor\t: 0\nmodel name\t: Some CPU 9000\nflags\t\t: fpu avx avx2 f16c strange\n\n"
      "processor\t: 1\nmodel name\t: Another\n";
  os.files["/proc/self/status"] = "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t" + allowed +
                                  "\n";
  return os;
}

Cpu cpu_of(FakeOs& os) {
  auto cpu = read_cpu(os);
  EXPECT_TRUE(cpu) << cpu.error().message;
  return cpu ? *cpu : Cpu();
}

TEST(CpuList, ParsesAndFormats) {
  EXPECT_EQ(parse_cpu_list("0-3,8"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list(" 2 ,0,2\n"), (std::vector<int>{0, 2}));
  EXPECT_EQ(parse_cpu_list(""), std::vector<int>{});
  EXPECT_EQ(parse_cpu_list("x,3-,-2,5-4,1x,7"), std::vector<int>{7});
  EXPECT_EQ(parse_cpu_list("0-99999999").size(), static_cast<size_t>(kCpusMax));
  EXPECT_EQ(parse_cpu_list("4095-4096"), std::vector<int>{4095});
  for (const char* text : {"0-3,8", "", "5", "0,2,4-5"}) {
    EXPECT_EQ(format_cpu_list(parse_cpu_list(text)), text);
  }
}

TEST(CpuFacts, ModelFeaturesAndAffinity) {
  FakeOs os = machine_of("0-3,6");
  const Cpu cpu = cpu_of(os);
  EXPECT_EQ(cpu.model, "Some CPU 9000");
  EXPECT_EQ(cpu.features, (std::vector<std::string>{"avx", "f16c", "avx2"}));
  EXPECT_EQ(cpu.threads, 5U);
  EXPECT_EQ(cpu.p_cores, (std::vector<int>{0, 1, 2, 3, 6}));
  EXPECT_TRUE(cpu.e_cores.empty());
}

TEST(CpuFacts, TheTightestQuotaOfAnyGroupCounts) {
  FakeOs os = machine_of("0-7");
  os.files["/proc/self/cgroup"] = "0::/a/b\n";
  os.files["/sys/fs/cgroup/a/b/cpu.max"] = "max 100000\n";
  EXPECT_EQ(cpu_of(os).threads, 8U);
  os.files["/sys/fs/cgroup/a/cpu.max"] = "250000 100000\n";
  EXPECT_EQ(cpu_of(os).threads, 3U);  // rounded up
  os.files["/sys/fs/cgroup/cpu.max"] = "5000 100000\n";
  EXPECT_EQ(cpu_of(os).threads, 1U);
}

TEST(CpuFacts, QuotaOfTheFirstKindOfGroups) {
  FakeOs os = machine_of("0-7");
  os.files["/proc/self/cgroup"] = "3:cpu,cpuacct:/box\n1:name=systemd:/\n";
  os.files["/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us"] = "-1\n";
  os.files["/sys/fs/cgroup/cpu/box/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(cpu_of(os).threads, 8U);
  os.files["/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us"] = "400000\n";
  EXPECT_EQ(cpu_of(os).threads, 4U);
  os.files["/sys/fs/cgroup/cpu/box/cpu.cfs_period_us"] = "0\n";
  EXPECT_EQ(cpu_of(os).threads, 8U);
}

TEST(CpuFacts, HybridIntel) {
  FakeOs os = machine_of("0-9");
  os.files["/sys/devices/cpu_core/cpus"] = "0-3\n";
  os.files["/sys/devices/cpu_atom/cpus"] = "4-11\n";
  const Cpu cpu = cpu_of(os);
  EXPECT_EQ(cpu.p_cores, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(cpu.e_cores, (std::vector<int>{4, 5, 6, 7, 8, 9}));
}

TEST(CpuFacts, HybridWithoutAnyPerformanceCoreAllowed) {
  FakeOs os = machine_of("4-5");
  os.files["/sys/devices/cpu_core/cpus"] = "0-3\n";
  os.files["/sys/devices/cpu_atom/cpus"] = "4-11\n";
  EXPECT_EQ(cpu_of(os).p_cores, (std::vector<int>{4, 5}));
  EXPECT_TRUE(cpu_of(os).e_cores.empty());
}

TEST(CpuFacts, ArmCapacities) {
  FakeOs os = machine_of("0-3");
  const char* capacities[] = {"300", "300", "800", "1024"};
  for (int i = 0; i < 4; ++i) {
    os.files["/sys/devices/system/cpu/cpu" + std::to_string(i) + "/cpu_capacity"] = capacities[i];
  }
  EXPECT_EQ(cpu_of(os).p_cores, (std::vector<int>{2, 3}));
  EXPECT_EQ(cpu_of(os).e_cores, (std::vector<int>{0, 1}));
}

TEST(CpuFacts, MissingFactsDoNotFail) {
  FakeOs os;
  EXPECT_EQ(read_cpu(os).error().code, Code::kNotFound);
  os.files["/proc/cpuinfo"] = "";
  const Cpu cpu = cpu_of(os);
  EXPECT_EQ(cpu.model, "unknown processor");
  EXPECT_EQ(cpu.threads, 1U);
  os.files["/sys/devices/system/cpu/online"] = "0-1\n";
  EXPECT_EQ(cpu_of(os).threads, 2U);
}

TEST(CpuFacts, Temperature) {
  FakeOs os;
  EXPECT_EQ(read_cpu_temperature(os), std::nullopt);
  os.files["/sys/class/hwmon/hwmon0/name"] = "nvme\n";
  os.files["/sys/class/hwmon/hwmon0/temp1_input"] = "30000\n";
  os.files["/sys/class/hwmon/hwmon1/name"] = "k10temp\n";
  os.files["/sys/class/hwmon/hwmon1/temp1_input"] = "61500\n";
  EXPECT_EQ(read_cpu_temperature(os), 61.5);
}

}  // namespace
}  // namespace gantry
