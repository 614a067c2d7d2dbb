// What a dead daemon left: the right processes die, and no others.
#include "foreman/leftovers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foreman/test_bench.h"

namespace gantry {
namespace {

class LeftoversTest : public ForemanBench {};

TEST_F(LeftoversTest, LeftoversOfADeadDaemonAreEndedByIdentity) {
  foreman.reset();
  const std::string boot = read_boot_id(host);
  {
    auto store = *Store::open(state() + "/gantry.db", {});
    ASSERT_TRUE(store->add_lease({{1, "cpu", MiB(10), "same", 50'000'001, 11, boot}}));
    ASSERT_TRUE(store->add_lease({{2, "cpu", MiB(10), "pid used again", 50'000'002, 22, boot}}));
    ASSERT_TRUE(
        store->add_lease({{3, "cpu", MiB(10), "before the boot", 50'000'003, 33, "other boot"}}));
    ASSERT_TRUE(store->add_lease({{4, "cpu", MiB(10), "of an older daemon"}}));
  }
  host.foreign = {{50'000'001, 11}, {50'000'002, 222}, {50'000'003, 33}};
  ASSERT_TRUE(start());
  EXPECT_THAT(host.kills, testing::ElementsAre(50'000'001));
  EXPECT_EQ(host.foreign.size(), 2U);
  foreman.reset();
  EXPECT_TRUE((*Store::open(state() + "/gantry.db", {}))->leases()->empty());
}

}  // namespace
}  // namespace gantry
