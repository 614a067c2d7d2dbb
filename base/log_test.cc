// Logs: one line per event whatever the values hold; files stay bounded.
#include "base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/os.h"

namespace gantry {
namespace {

TEST(Log, ValuesCannotBreakTheLine) {
  EXPECT_EQ(format_fields("load", {{"model", "a"}, {"s", "0.5"}}), "load model=a s=0.5");
  EXPECT_EQ(format_fields("load", {{"model", "a b\n\"c\""}}),
            "load model=\"a b\\x0a\\\"c\\\"\"");
  EXPECT_EQ(format_fields("x", {{"empty", ""}}), "x empty=\"\"");
}

TEST(Log, FilesRotate) {
  const std::string dir = std::filesystem::temp_directory_path() / "gantry_log_test";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  const std::string path = join_path(dir, "x.log");
  {
    Result<std::unique_ptr<Log>> log = open_log(path, KiB(4));
    ASSERT_TRUE(log);
    for (int i = 0; i < 500; ++i) (*log)->info("event", {{"n", std::to_string(i)}});
  }
  EXPECT_LE(std::filesystem::file_size(path), 4096U);
  EXPECT_TRUE(std::filesystem::exists(join_path(dir, "x.1.log")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir), {}), 2);
  std::filesystem::remove_all(dir);
}

TEST(Log, UnwritablePathIsAnError) {
  const Result<std::unique_ptr<Log>> log = open_log("/proc/nowhere/x.log", KiB(4));
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::kIo);
}

}  // namespace
}  // namespace gantry
