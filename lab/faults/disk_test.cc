// The disk model by hand: what each kind of loss leaves.
#include "lab/faults/disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "lab/faults/lives.h"

namespace gantry::faults {
namespace {

class DiskModel : public testing::Test {
 protected:
  DiskModel() : disk_(folder_.path()) {}
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  void apply(FaultRecordKind kind, uint64_t inode, int64_t at, const std::string& bytes) {
    disk_.apply({static_cast<uint32_t>(kind), static_cast<uint32_t>(bytes.size()), inode, at},
                bytes.data());
  }
  void create(const std::string& name, uint64_t inode) {
    apply(kRecordCreate, inode, 0, path(name));
  }
  void sync_folder() { apply(kRecordSyncFolder, 0, 0, folder_.path()); }
  Image after(Loss loss) { return disk_.after(loss, rng_); }

  Folder folder_;
  Disk disk_;
  Rng rng_{1};
};

TEST_F(DiskModel, WhatIsNotSyncedIsLost) {
  create("a", 1);
  sync_folder();
  apply(kRecordWrite, 1, 0, "one");
  EXPECT_EQ(after(Loss::kAll)[path("a")], "");
  EXPECT_EQ(after(Loss::kNone)[path("a")], "one");
  apply(kRecordSync, 1, 0, "");
  apply(kRecordWrite, 1, 3, "two");
  EXPECT_EQ(after(Loss::kAll)[path("a")], "one");
  apply(kRecordTruncate, 1, 1, "");
  EXPECT_EQ(after(Loss::kAll)[path("a")], "one");
  EXPECT_EQ(after(Loss::kNone)[path("a")], "o");
}

TEST_F(DiskModel, AFilesSyncKeepsNoName) {
  create("a", 1);
  apply(kRecordWrite, 1, 0, "one");
  apply(kRecordSync, 1, 0, "");
  EXPECT_FALSE(after(Loss::kAll).contains(path("a")));
  sync_folder();
  EXPECT_EQ(after(Loss::kAll)[path("a")], "one");
}

TEST_F(DiskModel, ARenameIsLostAsAWhole) {
  create("a", 1);
  create("aside", 2);
  sync_folder();
  apply(kRecordWrite, 2, 0, "new");
  apply(kRecordSync, 2, 0, "");
  apply(kRecordRename, 0, 0, path("aside") + '\0' + path("a"));
  Image lost = after(Loss::kAll);
  EXPECT_EQ(lost[path("a")], "");
  EXPECT_EQ(lost[path("aside")], "new");
  int renamed = 0;
  for (int i = 0; i < 100; ++i) {
    const Image some = after(Loss::kNames);
    EXPECT_EQ(some.at(path("a")) == "new", !some.contains(path("aside")));
    renamed += some.at(path("a")) == "new" ? 1 : 0;
  }
  EXPECT_GT(renamed, 20);
  EXPECT_LT(renamed, 80);
  sync_folder();
  EXPECT_EQ(after(Loss::kAll)[path("a")], "new");
  EXPECT_FALSE(after(Loss::kAll).contains(path("aside")));
}

TEST_F(DiskModel, PagesAreLostOneByOneAndTorn) {
  create("a", 1);
  sync_folder();
  const std::string old(3 * 4096, 'o'), fresh(3 * 4096, 'n');
  apply(kRecordWrite, 1, 0, old);
  apply(kRecordSync, 1, 0, "");
  apply(kRecordWrite, 1, 0, fresh);
  std::map<size_t, int> sectors;  // how many were new
  for (int i = 0; i < 200; ++i) {
    const std::string bytes = after(Loss::kPages)[path("a")];
    ASSERT_EQ(bytes.size(), old.size());
    const auto fresh_bytes = static_cast<size_t>(std::ranges::count(bytes, 'n'));
    EXPECT_EQ(fresh_bytes % 512, 0U);
    ++sectors[fresh_bytes / 512];
  }
  EXPECT_TRUE(sectors.contains(0));
  EXPECT_FALSE(sectors.contains(24));  // one is always torn
  EXPECT_GT(sectors.size(), 10U);
}

TEST_F(DiskModel, AFolderThatWasNotSyncedIsLostWithAllInIt) {
  apply(kRecordMakeFolder, 0, 0, path("in"));
  apply(kRecordCreate, 1, 0, path("in/a"));
  apply(kRecordSyncFolder, 0, 0, path("in"));
  EXPECT_FALSE(after(Loss::kAll).contains(path("in/a")));
  EXPECT_TRUE(after(Loss::kNone).contains(path("in/a")));
  sync_folder();
  EXPECT_TRUE(after(Loss::kAll).contains(path("in/a")));
}

TEST_F(DiskModel, AnImageIsWrittenAsItIs) {
  const std::string target = path("target");
  write_image({{"/x/", ""}, {"/x/in/", ""}, {"/x/in/a", std::string("\0b", 2)}}, "/x", target);
  EXPECT_EQ(std::filesystem::file_size(target + "/in/a"), 2U);
}

}  // namespace
}  // namespace gantry::faults
