// The end without memory: its status and its words.
#include "base/out_of_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>
#include <vector>

namespace gantry {
namespace {

// Sanitizers have an operator new of their own, which ends in words of its own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// More than any address space has; volatile, so that no compiler knows better.
void take_too_much() {
  exit_when_out_of_memory();
  volatile size_t much = SIZE_MAX / 4;
  std::vector<char> all(much);
  ASSERT_EQ(all.size(), much);
}

TEST(OutOfMemoryDeathTest, AFailedAllocationIsTheEnd) {
  EXPECT_EXIT(take_too_much(), testing::ExitedWithCode(4), "gantry: there is no memory left");
}
#endif

// What operator new calls when it has nothing to give, called by hand.
TEST(OutOfMemoryDeathTest, EndsWithALineAndAStatus) {
  exit_when_out_of_memory();
  const std::new_handler handler = std::set_new_handler(nullptr);
  ASSERT_NE(handler, nullptr);
  EXPECT_EXIT(handler(), testing::ExitedWithCode(4), "gantry: there is no memory left");
}

}  // namespace
}  // namespace gantry
