// The cap holds: over days, over processes, over damage.
#include "cloud/ledger.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

namespace gantry {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gantry-ledger-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string path() const { return dir_ + "/spent"; }

  std::string dir_;
  const WallTime today_{std::chrono::seconds(1'800'000'000)};
  const WallTime tomorrow_ = today_ + std::chrono::hours(24);
};

TEST_F(LedgerTest, TakesUpToTheCapAndNoFurther) {
  Ledger ledger(path(), dollars(1));
  ASSERT_TRUE(ledger.take(dollars(0.6), today_));
  const Result<void> more = ledger.take({400'001}, today_);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::kPermission);
  EXPECT_NE(more.error().message.find("$0.60 of today's $1.00"), std::string::npos);
  EXPECT_TRUE(ledger.take({400'000}, today_));
  EXPECT_EQ(ledger.spent(today_)->micros, 1'000'000);
  EXPECT_TRUE(ledger.take(dollars(1), tomorrow_)) << "a new day";
}

TEST_F(LedgerTest, GivesBackOnTheSameDayAlone) {
  Ledger ledger(path(), dollars(1));
  ASSERT_TRUE(ledger.take(dollars(1), today_));
  ASSERT_TRUE(ledger.give_back(dollars(0.25), today_, today_));
  EXPECT_EQ(ledger.spent(today_)->micros, 750'000);
  ASSERT_TRUE(ledger.take(dollars(0.5), tomorrow_));
  ASSERT_TRUE(ledger.give_back(dollars(0.75), today_, tomorrow_));
  EXPECT_EQ(ledger.spent(tomorrow_)->micros, 500'000);
}

TEST_F(LedgerTest, ManyAtOnceNeverPassTheCap) {
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      Ledger ledger(path(), dollars(1));  // a relay of its own
      for (int n = 0; n < 20; ++n) taken += ledger.take({10'000}, today_) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 100);
}

TEST_F(LedgerTest, SpendsNothingOnAFileThatIsDamaged) {
  Ledger ledger(path(), dollars(1));
  for (const char* bytes : {"x", "2026-01-31", "2026-01-31 12", "2026-01-31 -5\n",
                            "2026-01-31 99999999999999999999\n", "2026-01-31 5 5\n"}) {
    std::ofstream(path()) << bytes;
    EXPECT_EQ(ledger.take({1}, today_).error().code, Code::kCorrupt) << bytes;
  }
  Ledger nowhere(dir_ + "/none/spent", dollars(1));
  EXPECT_FALSE(nowhere.take({1}, today_));
}

}  // namespace
}  // namespace gantry
