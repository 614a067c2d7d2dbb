// Damaged, foreign, newer and shared database files.
#include "foreman/database.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "foreman/schema.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

class DatabaseTest : public StoreBench {};

TEST_F(DatabaseTest, DamagedAndForeignFilesAreRefused) {
  add("j");
  store_.reset();
  const std::string good = path();
  std::filesystem::resize_file(good, 1000);
  EXPECT_EQ(Store::open(good, {}).error().code, Code::kCorrupt);
  std::ofstream(good) << "this is not a database at all, only text that is long enough";
  EXPECT_EQ(Store::open(good, {}).error().code, Code::kCorrupt);
  EXPECT_NE(Store::open(good, {}).error().remedy, "");
  EXPECT_EQ(Store::open(dir_ + "/none/gantry.db", {}).error().code, Code::kNotFound);
  EXPECT_EQ(Store::open(dir_, {}).has_value(), false);
}

TEST_F(DatabaseTest, ADamagedPageIsNoticedAtTheStart) {
  for (int i = 0; i < 50; ++i) add("job number " + std::to_string(i));
  store_.reset();
  const auto size = std::filesystem::file_size(path());
  std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(size - 4096, '\x5a');
  file.close();
  const Result<std::unique_ptr<Store>> opened = Store::open(path(), {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kCorrupt);
}

// As a BEGIN does that found no memory after it had begun.
TEST_F(DatabaseTest, ATransactionThatWasLeftOpenRefusesNoLaterOne) {
  auto database = Database::open(dir_ + "/left", {{}, 0});
  ASSERT_TRUE(database);
  const auto run = [&](const char* sql) { return (*database)->run(sql, "try"); };
  ASSERT_TRUE(run("CREATE TABLE t(x); BEGIN IMMEDIATE; INSERT INTO t VALUES(1)"));
  const auto add = [&] { return run("INSERT INTO t VALUES(2)"); };
  ASSERT_TRUE((*database)->transact("add", add));
  Statement all = (*database)->prepare("SELECT x FROM t", "look");
  ASSERT_TRUE(all.next().value_or(false));
  EXPECT_EQ(all.integer(0), 2);
  EXPECT_FALSE(all.next().value_or(true));
}

TEST_F(DatabaseTest, ASecondConnectionIsKeptOut) {
  add("j");
  EXPECT_EQ(Store::open(path(), {}).error().code, Code::kBusy);
}

TEST_F(DatabaseTest, ANewerSchemaAndAnotherProgramsDatabaseAreRefused) {
  store_.reset();
  std::vector<Migration> newer(job_schema().begin(), job_schema().end());
  newer.push_back({newer.back().version + 1, "CREATE TABLE later(x)"});
  ASSERT_TRUE(Database::open(path(), {newer, 0}));
  const Result<std::unique_ptr<Store>> opened = Store::open(path(), {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kUnsupported);
  {
    auto other = Database::open(dir_ + "/other", {{}, 0});
    ASSERT_TRUE((*other)->run("PRAGMA application_id=5", "mark"));
  }
  EXPECT_EQ(Store::open(dir_ + "/other", {}).error().code, Code::kCorrupt);
}

TEST_F(DatabaseTest, ABrokenMigrationLeavesTheOldVersion) {
  store_.reset();
  std::vector<Migration> next(job_schema().begin(), job_schema().end());
  next.push_back({next.back().version + 1, "CREATE TABLE half(x); CREATE TABLE jobs(x)"});
  EXPECT_FALSE(Database::open(path(), {next, 0}));
  reopen();
  add("still works");
}

}  // namespace
}  // namespace gantry
