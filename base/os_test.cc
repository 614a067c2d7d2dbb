// The real operating system: files that are there for good, typed refusals, locks.
#include "base/os.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace gantry {
namespace {

class OsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() /
           ("gantry_os_test_" + std::to_string(::getpid()));
    std::filesystem::remove_all(dir_);
    ASSERT_TRUE(os_->make_dirs(join_path(dir_, "deep/er"), 0700));
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<Os> os_ = make_real_os();
  std::string dir_;
};

TEST_F(OsTest, WritesAsideAndLeavesNothingElse) {
  const std::string path = join_path(dir_, "f");
  ASSERT_TRUE(os_->write_file(path, "one", 0600));
  ASSERT_TRUE(os_->write_file(path, "two", 0600));
  EXPECT_EQ(*os_->read_file(path, KiB(1)), "two");
  EXPECT_EQ(os_->stat(path)->mode, 0600U);
  EXPECT_EQ(*os_->list(dir_), (std::vector<std::string>{"deep", "f"}));
}

TEST_F(OsTest, FailedWriteKeepsTheOldFile) {
  const std::string path = join_path(dir_, "deep");  // a folder: rename onto it must fail
  EXPECT_FALSE(os_->write_file(path, "x", 0600));
  EXPECT_EQ(*os_->list(dir_), std::vector<std::string>{"deep"});
  EXPECT_EQ(os_->write_file(join_path(dir_, "none/x"), "x", 0600).error().code, Code::kNotFound);
}

TEST_F(OsTest, ReadsRefuseOverTheLimit) {
  const std::string path = join_path(dir_, "f");
  ASSERT_TRUE(os_->write_file(path, "12345", 0600));
  EXPECT_TRUE(os_->read_file(path, Bytes{5}));
  EXPECT_EQ(os_->read_file(path, Bytes{4}).error().code, Code::kTooLarge);
  EXPECT_EQ(os_->read_file(join_path(dir_, "no"), KiB(1)).error().code, Code::kNotFound);
}

TEST_F(OsTest, MapsFilesAlsoEmptyOnes) {
  const std::string path = join_path(dir_, "f");
  ASSERT_TRUE(os_->write_file(path, "abc", 0600));
  EXPECT_EQ((*os_->map_file(path))->bytes().size(), 3U);
  ASSERT_TRUE(os_->write_file(path, "", 0600));
  EXPECT_TRUE((*os_->map_file(path))->bytes().empty());
  EXPECT_EQ(os_->map_file(dir_).error().code, Code::kUsage);
}

TEST_F(OsTest, CopiesAndReadsFilesOfAnySizePieceByPiece) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += std::to_string(i);  // more than one piece
  const std::string path = join_path(dir_, "f"), copy = join_path(dir_, "g");
  ASSERT_TRUE(os_->write_file(path, text, 0600));
  ASSERT_TRUE(os_->copy_file(path, copy));
  ASSERT_TRUE(os_->write_file(path, "other", 0600));  // the copy is a file of its own
  std::string read;
  size_t pieces = 0;
  ASSERT_TRUE(os_->read_pieces(copy, [&](std::string_view piece) {
    read += piece;
    ++pieces;
  }));
  EXPECT_EQ(read, text);
  EXPECT_GT(pieces, 1U);
  EXPECT_EQ(os_->read_pieces(join_path(dir_, "no"), [](std::string_view) {}).error().code,
            Code::kNotFound);
  EXPECT_FALSE(os_->read_pieces(dir_, [](std::string_view) {}));
}

TEST_F(OsTest, FoldersRefuseToReplaceFiles) {
  ASSERT_TRUE(os_->write_file(join_path(dir_, "f"), "x", 0600));
  EXPECT_EQ(os_->make_dirs(join_path(dir_, "f/g"), 0700).error().code, Code::kUsage);
}

TEST_F(OsTest, OneHolderPerLock) {
  const std::string path = join_path(dir_, "lock");
  Result<std::unique_ptr<FileLock>> first = lock_file(path);
  ASSERT_TRUE(first);
  EXPECT_EQ(lock_file(path).error().code, Code::kBusy);
  first->reset();
  EXPECT_TRUE(lock_file(path));
}

TEST_F(OsTest, KnowsItself) {
  EXPECT_GT(os_->pss(::getpid())->n, KiB(100).n);
  EXPECT_GT(*os_->start_time(::getpid()), 0U);
  EXPECT_FALSE(os_->pss(0x3fffffff));
  EXPECT_NE(os_->self_exe().find("base_tests"), std::string::npos);
  EXPECT_GT(os_->free_space(dir_)->n, 0U);
}

}  // namespace
}  // namespace gantry
