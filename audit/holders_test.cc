// Tests of who holds device memory.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

constexpr const char* kBus = "0000:03:00.0";

std::vector<Holder> holders_of(FakeOs& os, const std::string& driver = "amdgpu") {
  std::vector<KernelDevice> devices(1);
  devices[0].driver = driver;
  devices[0].facts.bus = kBus;
  read_holders(os, &devices);
  return devices[0].facts.holders;
}

std::string client(const std::string& id, const std::string& memory) {
  return std::string("drm-driver:\tx\ndrm-pdev:\t") + kBus + "\ndrm-client-id:\t" + id + "\n" +
         memory;
}

TEST(Holders, ResidentBeforeMemoryBeforeTotal) {
  FakeOs os;
  os.files["/proc/7/comm"] = "seven\n";
  os.files["/proc/7/fdinfo/3"] =
      client("1", "drm-total-vram0:\t9 MiB\ndrm-memory-vram:\t8 MiB\ndrm-resident-vram0:\t7 MiB\n");
  ASSERT_EQ(holders_of(os).size(), 1U);
  EXPECT_EQ(holders_of(os)[0].bytes, MiB(7));
  EXPECT_EQ(holders_of(os)[0].name, "seven");
  os.files["/proc/7/fdinfo/3"] = client("1", "drm-total-local0:\t9 MiB\ndrm-total-gtt: 5 GiB\n");
  EXPECT_EQ(holders_of(os)[0].bytes, MiB(9));
  os.files["/proc/7/fdinfo/3"] =
      client("1", "drm-resident-vram0:\t4096\ndrm-resident-vram1:\t1 KiB\n");
  EXPECT_EQ(holders_of(os)[0].bytes, Bytes{5120});
}

TEST(Holders, AClientCountsOnceAProcessOnce) {
  FakeOs os;
  os.files["/proc/7/fdinfo/3"] = client("1", "drm-memory-vram: 1 MiB\n");
  os.files["/proc/7/fdinfo/4"] = client("1", "drm-memory-vram: 1 MiB\n");  // a copy of it
  os.files["/proc/7/fdinfo/5"] = client("2", "drm-memory-vram: 2 MiB\n");
  os.files["/proc/8/fdinfo/3"] = client("1", "drm-memory-vram: 1 MiB\n");  // inherited
  os.files["/proc/9/fdinfo/3"] = client("3", "drm-memory-vram: 9 MiB\n");
  const auto holders = holders_of(os);
  ASSERT_EQ(holders.size(), 2U);
  EXPECT_EQ(holders[0].pid, 9);
  EXPECT_EQ(holders[0].name, "process 9");
  EXPECT_EQ(holders[1].bytes, MiB(3));
}

TEST(Holders, OthersCardsNothingAndNonsense) {
  FakeOs os;
  os.files["/proc/7/fdinfo/0"] = "pos:\t0\n";
  os.files["/proc/7/fdinfo/1"] = client("1", "drm-memory-vram:\n");
  os.files["/proc/7/fdinfo/2"] = client("2", "drm-memory-vram: 99999999999999999999 KiB\n");
  os.files["/proc/7/fdinfo/3"] = client("3", "drm-memory-vram: 18446744073709551615 KiB\n");
  os.files["/proc/7/fdinfo/4"] = "drm-pdev: 0000:99:00.0\ndrm-memory-vram: 1 MiB\n";
  os.files["/proc/7x/fdinfo/1"] = client("9", "drm-memory-vram: 1 MiB\n");
  os.files["/proc/self/fdinfo/1"] = client("8", "drm-memory-vram: 1 MiB\n");
  EXPECT_TRUE(holders_of(os).empty());
}

TEST(Holders, ProcIsReadOnlyWhereADriverTells) {
  FakeOs os;
  os.files["/proc/7/fdinfo/3"] = client("1", "drm-memory-vram: 1 MiB\n");
  EXPECT_TRUE(holders_of(os, "nvidia").empty());
  EXPECT_EQ(os.operations(), 0U);
}

TEST(Holders, IntelTellsWhatIsUsedByProcessAlone) {
  FakeOs os;
  os.files["/proc/7/fdinfo/3"] = client("1", "drm-resident-vram0: 1024 MiB\n");
  std::vector<KernelDevice> devices(1);
  devices[0].driver = "xe";
  devices[0].vendor = 0x8086;
  devices[0].facts.bus = kBus;
  devices[0].facts.total = devices[0].facts.free = GiB(16);
  read_holders(os, &devices);
  EXPECT_EQ(devices[0].facts.free, GiB(15));
}

TEST(Holders, NamesAreMadePrintableAndTheLongestTailIsCut) {
  FakeOs os;
  os.files["/proc/5/comm"] = "a\x1b[31m\xff b\n";
  std::vector<Holder> holders;
  for (int pid = 1; pid <= static_cast<int>(kHoldersMax) + 1; ++pid) {
    holders.push_back({pid, {}, pid == 5 ? GiB(1) : Bytes{static_cast<uint64_t>(pid)}});
  }
  tidy_holders(os, &holders);
  ASSERT_EQ(holders.size(), kHoldersMax);
  EXPECT_EQ(holders[0].name, "a?[31m? b");
  EXPECT_EQ(holders.back().pid, 2);
}

}  // namespace
}  // namespace gantry
