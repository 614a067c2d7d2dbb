// Leases over a restart.
#include <gtest/gtest.h>

#include "foreman/store_bench.h"

namespace gantry {
namespace {

class LeasesTest : public StoreBench {};

TEST_F(LeasesTest, LeasesSurvive) {
  ASSERT_TRUE(store_->add_lease({{7, "cpu", MiB(3), "m"}, {7, "gpu0", MiB(4), "m"}}));
  ASSERT_TRUE(store_->bind_lease(7, 123, 456, "boot"));
  reopen();
  const std::vector<LeaseRow> rows = *store_->leases();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].device, "gpu0");
  EXPECT_EQ(rows[1].pid, 123);
  EXPECT_EQ(rows[1].start_ticks, 456U);
  EXPECT_EQ(rows[1].boot_id, "boot");
  ASSERT_TRUE(store_->remove_lease(7));
  EXPECT_TRUE(store_->leases()->empty());
}

}  // namespace
}  // namespace gantry
