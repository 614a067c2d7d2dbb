// Backups of a queue in use, and their way back.
#include "foreman/restore.h"

#include "foreman/test_bench.h"

namespace gantry {
namespace {

class RestoreTest : public ForemanBench {
 protected:
  std::string copy() const { return dir + "/copy"; }
  Result<Restored> restore(bool replace) {
    return restore_backup(host, clock, copy(), state(), replace);
  }
};

TEST_F(RestoreTest, BringsTheQueueBackWithItsResults) {
  const std::string done = *submit({{"steps", 2}});
  const Job before = wait(done);
  ASSERT_EQ(before.state, JobState::kDone);
  JobSpec later;
  later.kind = "steps";
  later.not_before = clock.wall() + std::chrono::hours(1);
  const std::string waiting = *foreman->submit(later);
  ASSERT_TRUE(foreman->backup(copy()));
  EXPECT_EQ(foreman->backup(copy()).error().code, Code::kUsage);
  const std::string lost = *submit({});
  wait(lost);

  EXPECT_EQ(restore(true).error().code, Code::kBusy);
  foreman.reset();
  EXPECT_EQ(restore(false).error().code, Code::kUsage);
  const Result<Restored> restored = restore(true);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->jobs.of(JobState::kDone), 1U);
  EXPECT_TRUE(std::filesystem::exists(restored->replaced + "/gantry.db"));
  ASSERT_TRUE(start());
  EXPECT_EQ(foreman->job(done)->result_sha256, before.result_sha256);
  EXPECT_TRUE(foreman->result(done));
  EXPECT_EQ(foreman->job(waiting)->state, JobState::kWaiting);
  EXPECT_EQ(foreman->job(lost).error().code, Code::kNotFound);
}

TEST_F(RestoreTest, TokensRiseOverARestore) {
  ASSERT_TRUE(foreman->backup(copy()));
  foreman.reset();
  Token last = 0;
  for (int i = 0; i < 5; ++i) {  // more starts than minutes have passed
    auto store = Store::open(state() + "/gantry.db", {.now = clock.wall()});
    ASSERT_TRUE(store) << store.error().message;
    last = (*store)->next_token();
  }
  ASSERT_TRUE(restore(true));
  auto store = Store::open(state() + "/gantry.db", {});
  ASSERT_TRUE(store);
  EXPECT_GT((*store)->next_token(), last);
}

// The queue is gone with its disk: what it had given out is not known, but the time is.
TEST_F(RestoreTest, TokensRiseOverARestoreIntoNothing) {
  auto store = Store::open(dir + "/old.db", {.now = WallTime(std::chrono::hours(24 * 365 * 55))});
  ASSERT_TRUE(store);
  ASSERT_TRUE(write_backup(host, **store, dir + "/nothing", copy()));
  const Token old = (*store)->next_token();
  const Result<Restored> restored =
      restore_backup(host, clock, copy(), dir + "/elsewhere", false);
  ASSERT_TRUE(restored) << restored.error().message;
  auto fresh = Store::open(dir + "/elsewhere/gantry.db", {});
  EXPECT_GT((*fresh)->next_token() >> 32, (old >> 32) + 1000);
}

TEST_F(RestoreTest, WhatIsNoBackupChangesNothing) {
  foreman.reset();
  EXPECT_EQ(restore(true).error().code, Code::kNotFound);
  std::filesystem::create_directories(copy());
  file("copy/gantry.db", "not a database at all");
  EXPECT_FALSE(restore(true));
  EXPECT_TRUE(start()) << "the queue that was there is gone";
}

}  // namespace
}  // namespace gantry
