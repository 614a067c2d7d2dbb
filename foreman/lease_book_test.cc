// Leases over time: who was seen alive, and whose time is over.
#include "foreman/lease_book.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"
#include "base/limits.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

// Boot time and wall time that move apart.
class TwoClocks final : public Clock {
 public:
  Millis steady() const override { return since_boot; }
  WallTime wall() const override { return WallTime(set_to); }
  Millis boot() const override { return since_boot; }
  Millis since_boot{1'000}, set_to{5'000'000};
};

class LeaseBookTest : public StoreBench {
 protected:
  static LeaseRow row(Token token, int pid, bool program) {
    return {token, "gpu0", MiB(5), "who", pid, static_cast<uint64_t>(pid) * 10, "boot", program};
  }
  void lives(int pid) { os_.start_of[pid] = static_cast<uint64_t>(pid) * 10; }

  FakeOs os_;
  TwoClocks clock_;
};

TEST_F(LeaseBookTest, HeartbeatsAreOfThoseWhoLive) {
  LeaseBook book(os_, clock_, *store_);
  EXPECT_TRUE(book.beat());
  ASSERT_TRUE(book.add({row(1, 7, false)}, kWorkerReadyMax));
  ASSERT_TRUE(book.add({row(2, 8, true)}, Millis(0)));
  lives(7);
  os_.start_of[8] = 81;  // another one by that number
  clock_.since_boot = Millis(12'000);
  book.lift_limit(1);
  ASSERT_TRUE(book.beat());
  for (const std::vector<LeaseRow>& rows : {book.rows(), *store_->leases()}) {
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].granted, Millis(1'000));
    EXPECT_EQ(rows[0].heartbeat, Millis(12'000));
    EXPECT_FALSE(rows[0].deadline);  // it has loaded
    EXPECT_EQ(rows[1].heartbeat, Millis(1'000));
  }
  ASSERT_TRUE(book.remove(1));
  EXPECT_EQ(book.rows().size(), 1U);
  EXPECT_EQ(store_->leases()->size(), 1U);
}

TEST_F(LeaseBookTest, AProgramIsToldOnceAndEndedOnce) {
  LeaseBook book(os_, clock_, *store_);
  ASSERT_TRUE(book.add({row(1, 7, true)}, Millis(60'000)));
  ASSERT_TRUE(book.add({row(2, 8, false)}, Millis(60'000)));  // a worker: its keeper does that
  ASSERT_TRUE(book.add({row(3, 9, true)}, Millis(0)));
  EXPECT_TRUE(book.limits_programs());
  clock_.set_to += std::chrono::hours(1);  // a clock that is set
  EXPECT_TRUE(book.late().empty());
  clock_.since_boot = Millis(60'999);
  EXPECT_TRUE(book.late().empty());
  clock_.since_boot = Millis(61'000);
  clock_.set_to -= std::chrono::hours(2);
  auto late = book.late();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].first.token, 1);
  EXPECT_EQ(late[0].second, LeaseBook::Say::kTell);
  clock_.since_boot += kLeaseGrace - Millis(1);
  EXPECT_TRUE(book.late().empty());
  clock_.since_boot += Millis(1);
  late = book.late();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].second, LeaseBook::Say::kEnd);
  clock_.since_boot += Millis(1'000'000);
  EXPECT_TRUE(book.late().empty());
  EXPECT_FALSE(book.limits_programs());
  EXPECT_EQ(book.rows().size(), 3U);  // it is there until its holder is gone
}

TEST_F(LeaseBookTest, TheNextDaemonGoesOnWithTheLimit) {
  {
    LeaseBook book(os_, clock_, *store_);
    ASSERT_TRUE(book.add({row(1, 7, true)}, Millis(60'000)));
  }
  reopen();
  clock_.since_boot = Millis(61'000);
  LeaseBook book(os_, clock_, *store_);
  const std::vector<LeaseRow> rows = *store_->leases();
  for (const LeaseRow& kept : rows) book.take_over(kept);
  EXPECT_EQ(book.late().size(), 1U);
}

}  // namespace
}  // namespace gantry
