// The job table: tokens, claims, recovery by reopening, a full disk.
#include "foreman/store.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <thread>

#include "base/limits.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

class StoreTest : public StoreBench {};

TEST_F(StoreTest, KeepsEverythingOverAReopen) {
  JobSpec spec;
  spec.kind = "minutes";
  spec.params = R"({"a":"ü"})";
  spec.files = {"/a", "/b"};
  spec.priority = -3;
  spec.idempotency_key = "key";
  const std::vector<FileIdentity> files = {{"/a", Bytes{1}, 2, 3}, {"/b", Bytes{4}, 5, UINT64_MAX}};
  ASSERT_TRUE(store_->add("j1", spec, files, at(77)));
  reopen();
  const Job job = *store_->job("j1");
  EXPECT_EQ(job.spec.kind, "minutes");
  EXPECT_EQ(job.spec.params, spec.params);
  EXPECT_EQ(job.spec.files, spec.files);
  EXPECT_EQ(job.spec.priority, -3);
  EXPECT_EQ(job.spec.idempotency_key, "key");
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.submitted, at(77));
  EXPECT_EQ(claim().files, files);
  EXPECT_EQ(store_->job("j2").error().code, Code::kNotFound);
}

TEST_F(StoreTest, OneIdempotencyKeyIsOneJob) {
  JobSpec spec;
  spec.kind = "test";
  spec.idempotency_key = "night";
  EXPECT_EQ(*store_->add("j1", spec, {}, at(1)), "j1");
  EXPECT_EQ(*store_->add("j2", spec, {}, at(2)), "j1");
  reopen();
  EXPECT_EQ(*store_->add("j3", spec, {}, at(3)), "j1");
  EXPECT_EQ(store_->tally()->unfinished(), 1U);
}

TEST_F(StoreTest, ClaimsByPriorityThenOrder) {
  add("a");
  add("b", 5);
  add("c");
  add("d", 5);
  std::string order;
  for (int i = 0; i < 4; ++i) order += claim().job.id;
  EXPECT_EQ(order, "bdac");
  EXPECT_FALSE(store_->claim(at(3))->has_value());
  EXPECT_EQ(store_->jobs({.limit = 2})->size(), 2U);
  EXPECT_EQ(store_->jobs({.limit = 2})->front().id, "d");
}

TEST_F(StoreTest, ManyThreadsClaimEachJobOnce) {
  for (int i = 0; i < 64; ++i) add("j" + std::to_string(i));
  std::array<std::vector<std::string>, 4> got;
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&] {
      while (true) {
        Result<std::optional<Claim>> claimed = store_->claim(at(2));
        if (!claimed || !*claimed) return;
        mine.push_back((*claimed)->job.id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  size_t count = 0;
  for (const auto& mine : got) {
    count += mine.size();
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(count, 64U);
  EXPECT_EQ(all.size(), 64U);
}

TEST_F(StoreTest, OnlyTheHolderOfTheTokenCanEndAJob) {
  add("j");
  const Claim old = claim();
  reopen();
  ASSERT_EQ(store_->recover(at(3))->size(), 1U);
  const Claim fresh = claim();
  EXPECT_GT(fresh.token, old.token);
  const Error broken{Code::kIo, "x"};
  EXPECT_EQ(store_->finish("j", old.token, "r", "s", at(4)).error().code, Code::kConflict);
  EXPECT_EQ(store_->fail_job("j", old.token, broken, at(4)).error().code, Code::kConflict);
  EXPECT_EQ(store_->retry("j", old.token, broken, "", at(4)).error().code, Code::kConflict);
  EXPECT_EQ(store_->unclaim("j", old.token).error().code, Code::kConflict);
  EXPECT_EQ(store_->set_device("j", old.token, "cpu", "").error().code, Code::kConflict);
  EXPECT_EQ(store_->add_checkpoint("j", old.token, {"s", "f", "h"}).error().code, Code::kConflict);
  ASSERT_TRUE(store_->finish("j", fresh.token, "r", "s", at(5)));
  EXPECT_EQ(store_->finish("j", fresh.token, "r2", "s2", at(6)).error().code, Code::kConflict);
  EXPECT_EQ(store_->job("j")->result_file, "r");
  EXPECT_EQ(store_->tally()->unfinished(), 0U);
}

TEST_F(StoreTest, AFinishedJobNeverRunsAgain) {
  add("j");
  ASSERT_TRUE(store_->finish("j", claim().token, "r", "s", at(3)));
  EXPECT_EQ(store_->cancel("j", at(4)).error().code, Code::kConflict);
  reopen();
  EXPECT_TRUE(store_->recover(at(5))->empty());
  EXPECT_FALSE(store_->claim(at(6))->has_value());
  EXPECT_EQ(state("j"), JobState::kDone);
}

TEST_F(StoreTest, TokensRiseOverRestarts) {
  Token last = 0;
  for (int start = 0; start < 5; ++start) {
    for (int i = 0; i < 3; ++i) {
      const Token token = store_->next_token();
      EXPECT_GT(token, last);
      last = token;
    }
    reopen();
  }
}

TEST_F(StoreTest, LostAttemptsEndUnlessTheyMakeProgress) {
  add("stuck");
  for (uint32_t i = 1; i <= kJobLostMax; ++i) {
    const Claim mine = claim();
    EXPECT_EQ(mine.job.attempts, i);
    reopen();
    ASSERT_EQ(store_->recover(at(3))->size(), 1U);
    EXPECT_EQ(state("stuck"), i < kJobLostMax ? JobState::kQueued : JobState::kFailed);
  }
  EXPECT_EQ(store_->job("stuck")->error->code, Code::kUnavailable);
  EXPECT_EQ(store_->tally()->unfinished(), 0U);

  add("long");
  for (uint32_t i = 1; i <= 2 * kJobLostMax; ++i) {
    const Claim mine = claim();
    ASSERT_TRUE(store_->add_checkpoint("long", mine.token, {std::to_string(i), "f", "h"}));
    reopen();
    ASSERT_TRUE(store_->recover(at(3)));
    ASSERT_EQ(state("long"), JobState::kQueued) << i;
  }
  EXPECT_EQ(store_->checkpoints("long")->size(), 2 * kJobLostMax);
}

TEST_F(StoreTest, UnclaimCostsNoAttempt) {
  add("j");
  for (int i = 0; i < 10; ++i) {
    const Claim mine = claim();
    EXPECT_EQ(mine.job.attempts, 1U);
    ASSERT_TRUE(store_->unclaim("j", mine.token));
  }
  EXPECT_EQ(state("j"), JobState::kQueued);
}

TEST_F(StoreTest, CancelHoldsOverACrash) {
  add("queued");
  EXPECT_EQ(store_->cancel("queued", at(3))->state, JobState::kCancelled);
  add("running");
  const Claim mine = claim();
  EXPECT_EQ(mine.job.id, "running");
  EXPECT_EQ(store_->cancel("running", at(3))->state, JobState::kCancelled);
  EXPECT_EQ(store_->finish("running", mine.token, "r", "s", at(4)).error().code, Code::kConflict);
  reopen();
  EXPECT_TRUE(store_->recover(at(5))->empty());
  EXPECT_EQ(state("running"), JobState::kCancelled);
  EXPECT_EQ(store_->unswept()->size(), 2U);
  ASSERT_TRUE(store_->mark_swept("running"));
  EXPECT_EQ(store_->unswept()->size(), 1U);
}

TEST_F(StoreTest, CheckpointsAreReplacedByStep) {
  add("j");
  const Claim mine = claim();
  ASSERT_TRUE(store_->add_checkpoint("j", mine.token, {"map 0", "a", "1"}));
  ASSERT_TRUE(store_->add_checkpoint("j", mine.token, {"map 0", "b", "2"}));
  const std::vector<Checkpoint> kept = *store_->checkpoints("j");
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].file, "b");
  ASSERT_TRUE(store_->finish("j", mine.token, "r", "s", at(3)));
  EXPECT_TRUE(store_->checkpoints("j")->empty());
}

TEST_F(StoreTest, AFullDiskIsATypedErrorAndLosesNothing) {
  reopen({.pages_max = 40});
  JobSpec big;
  big.kind = "test";
  big.params = std::string(20'000, 'x');
  int accepted = 0;
  for (;; ++accepted) {
    const Result<std::string> added = store_->add("j" + std::to_string(accepted), big, {}, at(1));
    if (!added) {
      EXPECT_EQ(added.error().code, Code::kDiskFull);
      EXPECT_NE(added.error().remedy, "");
      break;
    }
    ASSERT_LT(accepted, 100);
  }
  ASSERT_GT(accepted, 0);
  EXPECT_EQ(store_->jobs({.limit = 100})->size(), static_cast<size_t>(accepted));
  reopen();  // room again
  EXPECT_EQ(store_->tally()->unfinished(), static_cast<uint64_t>(accepted));
  add("after");
  while (accepted-- > 0) claim();
  EXPECT_EQ(claim().job.id, "after");
}

}  // namespace
}  // namespace gantry
