// Leases over a restart.
#include <gtest/gtest.h>

#include "foreman/store_bench.h"

namespace gantry {
namespace {

class LeasesTest : public StoreBench {};

TEST_F(LeasesTest, LeasesSurvive) {
  ASSERT_TRUE(store_->add_lease({{7, "cpu", MiB(3), "m", 123, 456, "boot"},
                                 {7, "gpu0", MiB(4), "m", 123, 456, "boot", true}}));
  reopen();
  const std::vector<LeaseRow> rows = *store_->leases();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].device, "gpu0");
  EXPECT_EQ(rows[1].pid, 123);
  EXPECT_EQ(rows[1].start_ticks, 456U);
  EXPECT_EQ(rows[1].boot_id, "boot");
  EXPECT_TRUE(rows[1].program && !rows[0].program);
  EXPECT_FALSE(rows[0].deadline);
  LeaseRow renewed = rows[1];
  renewed.heartbeat = Millis(5'000);
  renewed.deadline = Millis(9'000);
  ASSERT_TRUE(store_->renew_leases({renewed, {99, "cpu"}}));  // one is gone: nothing of it is made
  reopen();
  ASSERT_EQ(store_->leases()->size(), 2U);
  EXPECT_EQ((*store_->leases())[1].heartbeat, Millis(5'000));
  EXPECT_EQ((*store_->leases())[1].deadline, Millis(9'000));
  EXPECT_EQ((*store_->leases())[0].heartbeat, Millis(0));
  ASSERT_TRUE(store_->remove_lease(7));
  EXPECT_TRUE(store_->leases()->empty());
}

}  // namespace
}  // namespace gantry
