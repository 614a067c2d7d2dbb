// Errors: their names, exit codes and texts.
#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

namespace gantry {
namespace {

TEST(Result, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    const Code code = static_cast<Code>(i);
    names.insert(code_name(code));
    EXPECT_EQ(code_from_name(code_name(code)), code);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Code::kInternal) + 1);
  EXPECT_EQ(code_from_name("no such word"), Code::kInternal);
}

TEST(Result, ExitCodesAreTheDocumentedOnes) {
  EXPECT_EQ(exit_code(Code::kUsage), 2);
  EXPECT_EQ(exit_code(Code::kDoesNotFit), 3);
  EXPECT_EQ(exit_code(Code::kUnavailable), 4);
  EXPECT_EQ(exit_code(Code::kWorkerFailed), 4);
  EXPECT_EQ(exit_code(Code::kCorrupt), 1);
}

TEST(Result, DescribeShowsCauseAndRemedy) {
  EXPECT_EQ(describe({Code::kIo, "the disk broke", "buy another"}), "the disk broke (buy another)");
  EXPECT_EQ(describe({Code::kIo, "the disk broke"}), "the disk broke");
}

TEST(Result, OsErrorsGetTheirOwnCodes) {
  EXPECT_EQ(os_error("x", ENOENT).code, Code::kNotFound);
  EXPECT_EQ(os_error("x", EACCES).code, Code::kPermission);
  EXPECT_EQ(os_error("x", ENOSPC).code, Code::kDiskFull);
  EXPECT_EQ(os_error("x", EADDRINUSE).code, Code::kBusy);
  EXPECT_EQ(os_error("x", EIO).code, Code::kIo);
}

}  // namespace
}  // namespace gantry
