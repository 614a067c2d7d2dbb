// Control groups: the kernel's own where this machine lets us, and files that stand for them.
#include "base/cgroup.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/os.h"

namespace gantry {
namespace {

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "gantry-cgroup-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    dir_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(dir_ + "/" + name).parent_path());
    std::ofstream(dir_ + "/" + name) << text;
  }
  std::string dir_;
};

TEST_F(CgroupTest, NoneWhereNoneCanBeMade) {
  EXPECT_EQ(open_cgroups(dir_ + "/nothing", dir_ + "/nothing"), nullptr);
  file("own", "0::/a/b\n4:memory:/x\nnonsense\n:\n");
  EXPECT_EQ(open_cgroups(dir_, dir_ + "/own"), nullptr);
}

// The group is found beside our own; files that are not the kernel's take no process.
TEST_F(CgroupTest, AGroupThatTakesNoProcessIsNone) {
  file("cgroup.procs", "");
  file("user.slice/app.scope/cgroup.procs", "");
  file("own", "0::/user.slice/app.scope\n");
  const auto groups = open_cgroups(dir_, dir_ + "/own");
  ASSERT_NE(groups, nullptr);
  EXPECT_EQ(groups->put(1, "model", {MiB(1), 50}), nullptr);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ + "/user.slice"), {}), 1)
      << "nothing is left behind";
}

TEST_F(CgroupTest, NothingOfAWorkerIsLeft) {
  const auto groups = open_cgroups();
  if (groups == nullptr) GTEST_SKIP() << "this machine lets us make no control groups";
  const std::unique_ptr<Os> os = make_real_os();
  // A grandchild that leaves its process group, as a program that turns itself into a daemon.
  auto shell = os->spawn({.argv = {"sh", "-c", "read go; setsid sleep 100 & echo $!; wait"},
                          .pipe_io = true});
  ASSERT_TRUE(shell);
  auto group = groups->put((*shell)->pid(), "odd/../name", {GiB(1), 50});
  ASSERT_NE(group, nullptr);
  ASSERT_TRUE((*shell)->write_line("go"));
  const int escaped = std::stoi(*(*shell)->read_line(Millis(5000), KiB(1)));
  os->sleep(Millis(50));
  shell->reset();
  EXPECT_TRUE(os->pss(escaped)) << "killing the group of processes does not reach it";
  EXPECT_TRUE(group->clear(Millis(5000)));
  EXPECT_FALSE(os->pss(escaped));
}

TEST_F(CgroupTest, AMemoryLimitHolds) {
  const auto groups = open_cgroups();
  if (groups == nullptr) GTEST_SKIP() << "this machine lets us make no control groups";
  const std::unique_ptr<Os> os = make_real_os();
  auto shell = os->spawn({.argv = {"sh", "-c", "read go; head -c 300000000 /dev/zero | tail"},
                          .pipe_io = true});
  ASSERT_TRUE(shell);
  auto group = groups->put((*shell)->pid(), "eater", {MiB(64), 0});
  ASSERT_NE(group, nullptr);
  if (!group->limits_memory()) GTEST_SKIP() << "no memory controller here";
  ASSERT_TRUE((*shell)->write_line("go"));
  const auto ended = (*shell)->wait(Millis(20'000));
  ASSERT_TRUE(ended);
  EXPECT_FALSE(ended->ok());
  EXPECT_TRUE(group->clear(Millis(5000)));
}

}  // namespace
}  // namespace gantry
