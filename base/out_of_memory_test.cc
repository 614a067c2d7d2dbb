// The end without memory: its status and its words.
#include "base/out_of_memory.h"

#include <gtest/gtest.h>

#include <new>

namespace gantry {
namespace {

// What operator new calls when it has nothing to give: sanitizers have an operator new of their own
// that ends in words of its own, so it is called by hand. lab/faults lets allocations fail.
TEST(OutOfMemoryDeathTest, EndsWithALineAndAStatus) {
  exit_when_out_of_memory();
  const std::new_handler handler = std::set_new_handler(nullptr);
  ASSERT_NE(handler, nullptr);
  EXPECT_EXIT(handler(), testing::ExitedWithCode(4), "gantry: there is no memory left");
}

}  // namespace
}  // namespace gantry
