// Files on disk: the same on any number of threads, whole or not at all.
#include "model/synth_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/os.h"

namespace gantry {
namespace {

namespace fs = std::filesystem;

class SynthFile : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = (fs::temp_directory_path() / "synthXXXXXX").string();
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    path_ = dir_ + "/m.gguf";
    SynthWish wish;
    wish.shape = "llama";
    wish.ff = 16 * 1024;  // several pieces a tensor
    wish.layers = 2;
    model_ = *synth_model(wish);
  }
  void TearDown() override { fs::remove_all(dir_); }

  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(dir_), {}));
  }

  std::string dir_, path_;
  SynthModel model_;
};

TEST_F(SynthFile, SparseIsTheHeadAndAHole) {
  ASSERT_TRUE(write_synth(model_, path_, {.sparse = true}));
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), model_.bytes);
  EXPECT_LT(static_cast<uint64_t>(info.st_blocks) * 512, model_.bytes / 2);
  const std::string bytes = read(path_);
  EXPECT_EQ(bytes.substr(0, model_.head.size()), model_.head);
  EXPECT_EQ(bytes.find_first_not_of('\0', model_.head.size()), std::string::npos);
}

TEST_F(SynthFile, ThreadsMakeNoDifference) {
  ASSERT_TRUE(write_synth(model_, path_, {.threads = 1}));
  const std::string one = read(path_);
  EXPECT_EQ(one.size(), model_.bytes);
  EXPECT_EQ(one.compare(0, model_.head.size(), model_.head), 0);
  ASSERT_TRUE(write_synth(model_, path_, {.threads = 4}));
  EXPECT_EQ(read(path_), one);
  EXPECT_EQ(files(), 1U);
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(info.st_mode & 0777, 0666 & ~mask);
}

TEST_F(SynthFile, InterruptedLeavesTheOlderFile) {
  std::ofstream(path_) << "older";
  const std::atomic<bool> cancel{true};
  const Result<void> done = write_synth(model_, path_, {.threads = 2, .cancel = &cancel});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCancelled);
  EXPECT_EQ(read(path_), "older");
  EXPECT_EQ(files(), 1U);
}

TEST_F(SynthFile, FailedWriteLeavesTheOlderFile) {
  std::ofstream(path_) << "older";
  struct rlimit was {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &was), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = was;
  small.rlim_cur = model_.bytes - 1;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result<void> done = write_synth(model_, path_, {});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &was), 0);
  std::signal(SIGXFSZ, ignored);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("cannot write"), std::string::npos);
  EXPECT_EQ(read(path_), "older");
  EXPECT_EQ(files(), 1U);
}

TEST_F(SynthFile, NoRoomIsSaidBeforeAnythingIsWritten) {
  SynthModel huge = model_;
  huge.bytes = uint64_t{1} << 60;
  const Result<void> done = write_synth(huge, path_, {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kDiskFull);
  EXPECT_EQ(files(), 0U);
}

TEST_F(SynthFile, TargetsThatAreNoFileAreRefused) {
  EXPECT_EQ(write_synth(model_, dir_, {}).error().code, Code::kUsage);
  EXPECT_EQ(write_synth(model_, "/dev/null", {}).error().code, Code::kUsage);
  EXPECT_EQ(write_synth(model_, dir_ + "/no/m.gguf", {}).error().code, Code::kNotFound);
  const Result<void> unwritable = write_synth(model_, "/proc/m.gguf", {});
  ASSERT_FALSE(unwritable);
  EXPECT_FALSE(unwritable.error().remedy.empty());
}

TEST_F(SynthFile, ANameWithoutAFolderIsHere) {
  const fs::path before = fs::current_path();
  fs::current_path(dir_);
  const Result<void> done = write_synth(model_, "here.gguf", {});
  fs::current_path(before);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(fs::exists(dir_ + "/here.gguf"));
}

}  // namespace
}  // namespace gantry
