// The shared folder: what lives is seen, what does not is not, and nothing is believed blindly.
#include "foreman/lease_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "foreman/leftovers.h"

namespace gantry {
namespace {

class LeaseFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "gantry-leases-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    dir_ = path;
    folder_ = dir_ + "/leases";
    boot_ = read_boot_id(*os_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<LeaseFolder> open(const std::string& daemon) {
    Result<std::unique_ptr<LeaseFolder>> folder = open_lease_folder(*os_, folder_, boot_, daemon);
    EXPECT_TRUE(folder) << folder.error().message;
    return std::move(*folder);
  }
  SharedLease lease(int64_t token, uint64_t mib) const {
    return {"host", MiB(mib), false, ::getpid(), *os_->start_time(::getpid()), boot_, ::geteuid(),
            token, "m", ""};
  }
  size_t files() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      count += entry.path().filename().string().starts_with(".") ? 0 : 1;
    }
    return count;
  }
  // Of a program that takes part by hand.
  std::string write(const SharedLease& lease, const std::string& name = "by-hand.json") const {
    std::ofstream(folder_ + "/" + name) << lease_text(lease);
    return folder_ + "/" + name;
  }

  std::unique_ptr<Os> os_ = make_real_os();
  std::string dir_, folder_, boot_;
};

TEST_F(LeaseFolderTest, OthersAreHeardAndOneselfIsNot) {
  const auto one = open("one"), two = open("two");
  struct stat info{};
  ASSERT_EQ(::stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777U);
  ASSERT_TRUE(one->put(lease(1, 5)));
  EXPECT_TRUE(one->others().empty());
  ASSERT_EQ(two->others().size(), 1U);
  EXPECT_EQ(two->others()[0].bytes, MiB(5));
  EXPECT_EQ(two->others()[0].daemon, "one");
  ASSERT_TRUE(one->put(lease(1, 7)));  // anew, in the place of the first
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(two->others()[0].bytes, MiB(7));
  ASSERT_TRUE(two->put(lease(1, 9)));  // tokens are each daemon's own
  EXPECT_EQ(one->others().size(), 1U);
  one->drop(1);
  EXPECT_TRUE(two->others().empty());
  EXPECT_EQ(one->others().size(), 1U);
}

TEST_F(LeaseFolderTest, WhatACrashLeftIsGone) {
  const auto one = open("one");
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe(fds.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto other = open("other");
    // By lock alone: the holder's number says nothing here.
    SharedLease held = lease(1, 5);
    held.start_ticks += 1;
    if (!other->put(held) || ::write(fds[1], "x", 1) < 0) ::_exit(1);
    ::pause();
  }
  char told = 0;
  ASSERT_EQ(::read(fds[0], &told, 1), 1);
  EXPECT_EQ(one->others().size(), 1U);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(one->others().empty());
  EXPECT_EQ(files(), 0U);
}

TEST_F(LeaseFolderTest, AProgramTakesPartByHand) {
  const auto one = open("one");
  write(lease(0, 5));
  ASSERT_EQ(one->others().size(), 1U);
  SharedLease dead = lease(0, 5);
  dead.start_ticks += 1;  // its number is somebody else's now
  write(dead);
  EXPECT_TRUE(one->others().empty());
  EXPECT_EQ(files(), 0U);
  SharedLease earlier = lease(0, 5);
  earlier.boot_id = "another boot";
  write(earlier);
  EXPECT_TRUE(one->others().empty());
}

TEST_F(LeaseFolderTest, NothingIsBelievedBlindly) {
  const auto one = open("one");
  const std::string real = dir_ + "/elsewhere.json";
  std::ofstream(real) << lease_text(lease(0, 5));
  ASSERT_EQ(::symlink(real.c_str(), (folder_ + "/link.json").c_str()), 0);
  ASSERT_EQ(::mkfifo((folder_ + "/fifo.json").c_str(), 0644), 0);
  ASSERT_EQ(::mkdir((folder_ + "/folder.json").c_str(), 0755), 0);
  std::ofstream(folder_ + "/text.json") << "no lease";
  std::ofstream(folder_ + "/large.json") << lease_text(lease(0, 5)) << std::string(5'000, ' ');
  write(lease(0, 5), "other-name");
  write(lease(0, 5), ".aside.json");
  SharedLease claims = lease(0, 5);
  claims.uid += 1;  // in somebody else's name
  write(claims);
  EXPECT_TRUE(one->others().empty());
  EXPECT_TRUE(std::filesystem::exists(real));
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(write(lease(0, 5), "theirs.json").c_str(), 1234, 1234), 0);
    EXPECT_TRUE(one->others().empty());
  }
  write(lease(0, 6), "sound.json");
  EXPECT_EQ(one->others().size(), 1U);
}

TEST_F(LeaseFolderTest, TheNextRunRemovesWhatTheLastOneLeft) {
  const auto kept = open("kept");
  ASSERT_TRUE(kept->put(lease(1, 5)));
  const auto one = open("one");
  EXPECT_EQ(one->others().size(), 1U);
  const auto again = open("kept");
  ASSERT_TRUE(again->put(lease(1, 7)));  // what lives on is told first
  EXPECT_EQ(one->others().size(), 2U);
  again->clean();
  ASSERT_EQ(one->others().size(), 1U);
  EXPECT_EQ(one->others()[0].bytes, MiB(7));
}

TEST_F(LeaseFolderTest, FoldersInWhichOneMayRemoveWhatAnotherWroteAreRefused) {
  ASSERT_EQ(::mkdir(folder_.c_str(), 0777), 0);
  ASSERT_EQ(::chmod(folder_.c_str(), 0777), 0);
  EXPECT_EQ(open_lease_folder(*os_, folder_, boot_, "one").error().code, Code::kUsage);
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);  // one user's own
  EXPECT_TRUE(open_lease_folder(*os_, folder_, boot_, "one"));
  ASSERT_EQ(::symlink(folder_.c_str(), (dir_ + "/link").c_str()), 0);
  EXPECT_EQ(open_lease_folder(*os_, dir_ + "/link", boot_, "one").error().code, Code::kUsage);
}

TEST_F(LeaseFolderTest, OneAtATime) {
  const auto one = open("one"), two = open("two");
  Result<std::unique_ptr<FileLock>> held = one->lock();
  ASSERT_TRUE(held) << held.error().message;
  EXPECT_EQ(two->lock().error().code, Code::kBusy);
  held->reset();
  EXPECT_TRUE(two->lock());
  EXPECT_TRUE(one->others().empty());
}

}  // namespace
}  // namespace gantry
