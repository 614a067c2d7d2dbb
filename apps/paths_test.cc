// Folders: where state lives, and a private short door for each state directory.
#include "apps/paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fake_os.h"

namespace gantry {
namespace {

TEST(Paths, StateDirectoryBySpecificity) {
  FakeOs os;
  EXPECT_FALSE(state_directory(os, ""));
  os.environment["HOME"] = "/home/me";
  EXPECT_EQ(*state_directory(os, ""), "/home/me/.local/state/gantry");
  os.environment["XDG_STATE_HOME"] = "/xdg";
  EXPECT_EQ(*state_directory(os, ""), "/xdg/gantry");
  os.environment["GANTRY_STATE_DIR"] = "/env/../state";
  EXPECT_EQ(*state_directory(os, ""), "/state");
  EXPECT_EQ(*state_directory(os, "/flag"), "/flag");
}

TEST(Paths, RuntimeFoldersArePrivateShortAndDistinct) {
  const std::string base = std::filesystem::temp_directory_path() /
                           ("gp" + std::to_string(::getpid()));
  std::filesystem::create_directories(base);
  ::setenv("XDG_RUNTIME_DIR", base.c_str(), 1);
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::string> a = runtime_directory(*os, "/state/a");
  const Result<std::string> b = runtime_directory(*os, "/state/b");
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_NE(*a, *b);
  EXPECT_EQ(*a, *runtime_directory(*os, "/state/a"));
  EXPECT_EQ(os->stat(*a)->mode, 0700U);
  EXPECT_LT(socket_path(*a).size(), 100U);
  ::chmod(a->c_str(), 0755);
  EXPECT_EQ(runtime_directory(*os, "/state/a").error().code, Code::kPermission);
  std::filesystem::remove_all(*a);
  std::filesystem::create_directory_symlink("/tmp", *a);
  EXPECT_EQ(runtime_directory(*os, "/state/a").error().code, Code::kPermission);
  std::filesystem::remove_all(base);
  ::unsetenv("XDG_RUNTIME_DIR");
}

TEST(Paths, ProgramsLieTogether) {
  FakeOs os;
  os.exe = "/opt/gantry/bin/gantry";
  EXPECT_EQ(sibling_program(os, "gantryd"), "/opt/gantry/bin/gantryd");
}

}  // namespace
}  // namespace gantry
