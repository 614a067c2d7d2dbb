// FakeOs behaves as files do, and fails where told.
#include "base/fake_os.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(FakeOs, FilesAndFolders) {
  FakeOs os;
  ASSERT_TRUE(os.write_file("/a/b/c", "text", 0600));
  EXPECT_EQ(*os.read_file("/a/b/c", KiB(1)), "text");
  EXPECT_TRUE(os.stat("/a/b")->is_dir);
  EXPECT_EQ(os.stat("/a/b/c")->size.n, 4U);
  EXPECT_EQ(*os.list("/a"), std::vector<std::string>{"b"});
  EXPECT_EQ(os.read_file("/a/b/c", Bytes{3}).error().code, Code::kTooLarge);
  EXPECT_EQ((*os.map_file("/a/b/c"))->bytes().size(), 4U);
  ASSERT_TRUE(os.remove("/a"));
  EXPECT_EQ(os.stat("/a/b/c").error().code, Code::kNotFound);
}

TEST(FakeOs, TheNthOperationFailsOnce) {
  FakeOs os;
  os.fail_at(1, {Code::kDiskFull, "no space"});
  EXPECT_TRUE(os.write_file("/x", "1", 0600));
  EXPECT_EQ(os.write_file("/x", "2", 0600).error().code, Code::kDiskFull);
  EXPECT_EQ(*os.read_file("/x", KiB(1)), "1");
  EXPECT_TRUE(os.write_file("/x", "3", 0600));
  EXPECT_EQ(os.operations(), 4U);
}

TEST(FakeOs, ProcessesAreScripted) {
  FakeOs os;
  EXPECT_EQ(os.spawn({}).error().code, Code::kNotFound);
  os.pss_of[7] = MiB(3);
  EXPECT_EQ(os.pss(7)->n, MiB(3).n);
  os.start_of[7] = 70;
  os.kill_group(7, 71, 9);
  EXPECT_TRUE(os.pss(7)) << "another process with its number";
  os.kill_group(7, 70, 9);
  EXPECT_FALSE(os.pss(7));
  os.cpu_of[8] = Millis(80);
  EXPECT_EQ(*os.cpu_time(8), Millis(80));
  EXPECT_EQ(os.cpu_time(9).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry
