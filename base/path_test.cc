// Path arithmetic.
#include <gtest/gtest.h>

#include "base/os.h"

namespace gantry {
namespace {

TEST(Path, Joins) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("a", "/b"), "/b");
  EXPECT_EQ(join_path("", "b"), "b");
}

TEST(Path, Splits) {
  EXPECT_EQ(base_name("/a/b.c"), "b.c");
  EXPECT_EQ(base_name("/a/b/"), "b");
  EXPECT_EQ(base_name("b"), "b");
  EXPECT_EQ(base_name("/"), "/");
  EXPECT_EQ(dir_name("/a/b.c"), "/a");
  EXPECT_EQ(dir_name("/a"), "/");
  EXPECT_EQ(dir_name("a"), ".");
  EXPECT_EQ(dir_name("/a/b/"), "/a");
}

}  // namespace
}  // namespace gantry
