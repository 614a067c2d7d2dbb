// What of ended jobs goes, what stays, and what a crash in between leaves.
#include "foreman/pruner.h"

#include <gmock/gmock.h>

#include "foreman/job_state.h"
#include "foreman/store_bench.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PruneTest : public StoreBench {
 protected:
  // Adds a job that ends as told at that time.
  void ended(const std::string& id, JobState state, int64_t when,
             const std::vector<std::string>& needs = {}) {
    JobSpec spec;
    spec.kind = "test";
    spec.params = "{}";
    spec.depends_on = needs;
    ASSERT_TRUE(store_->add(id, spec, {}, at(1)));
    if (state == JobState::kCancelled) {
      ASSERT_TRUE(store_->cancel(id, at(when)));
    } else {
      const Claim mine = *store_->claim(at(2)).value();
      ASSERT_EQ(mine.job.id, id);
      const Error error{Code::kCorrupt, "no"};
      ASSERT_TRUE(state == JobState::kDone
                      ? store_->finish(id, mine.token, "r", "s", at(when))
                      : store_->fail_job(id, mine.token, error, at(when)));
    }
    ASSERT_TRUE(store_->mark_swept(id));
  }
  std::vector<std::string> prune(const PruneRule& rule, bool dry = false, uint32_t limit = 100) {
    Result<std::vector<Pruned>> gone = store_->prune(rule, limit, dry);
    EXPECT_TRUE(gone) << gone.error().message;
    std::vector<std::string> ids;
    for (const Pruned& job : *gone) ids.push_back(job.id);
    return ids;
  }
};

TEST_F(PruneTest, ByAgeByStateByCount) {
  ended("done", JobState::kDone, 30);
  ended("failed", JobState::kFailed, 10);
  ended("cancelled", JobState::kCancelled, 20);
  ended("late", JobState::kDone, 40);
  add("queued");
  EXPECT_THAT(prune({.before = at(21)}, true), ElementsAre("failed", "cancelled"));
  EXPECT_THAT(prune({.state = JobState::kDone}, true), ElementsAre("done", "late"));
  EXPECT_THAT(prune({.keep = 4}, true), IsEmpty());
  EXPECT_THAT(prune({.keep = 3}, true), ElementsAre("failed"));
  EXPECT_THAT(prune({.keep = 1}, true), ElementsAre("failed", "cancelled", "done"));
  EXPECT_THAT(prune({.before = at(30)}, false, 1), ElementsAre("failed"));
  EXPECT_THAT(*store_->unremoved(), ElementsAre("failed"));
  EXPECT_EQ(store_->job("failed").error().code, Code::kNotFound);
  reopen();
  EXPECT_EQ(store_->tally()->of(JobState::kFailed), 0U);
  EXPECT_EQ(store_->tally()->of(JobState::kDone), 2U);
  ASSERT_TRUE(store_->forget_removed({"failed"}));
  EXPECT_THAT(*store_->unremoved(), IsEmpty());
  EXPECT_THAT(prune({}), ElementsAre("cancelled", "done", "late"));
  EXPECT_EQ(store_->jobs({.limit = 10})->size(), 1U);
}

TEST_F(PruneTest, WhatOthersNeedStays) {
  ended("done", JobState::kDone, 10);
  JobSpec spec;
  spec.kind = "test";
  spec.params = "{}";
  spec.depends_on = {"done"};
  spec.not_before = at(1'000'000);
  ASSERT_TRUE(store_->add("waits", spec, {}, at(11)));
  EXPECT_THAT(prune({}), IsEmpty());
  ASSERT_TRUE(store_->pause("waits"));
  EXPECT_THAT(prune({}), IsEmpty());
  ASSERT_TRUE(store_->cancel("waits", at(12)));
  ASSERT_TRUE(store_->mark_swept("waits"));
  // Taken up again, it needs nothing that is not done already.
  EXPECT_THAT(prune({.state = JobState::kDone}), ElementsAre("done"));
  ASSERT_TRUE(store_->revive("waits", at(13)));
  EXPECT_THAT(store_->job("waits")->spec.depends_on, IsEmpty());
  ASSERT_TRUE(store_->cancel("waits", at(14)));
  ASSERT_TRUE(store_->mark_swept("waits"));

  add("first");
  spec.depends_on = {"first"};
  spec.not_before = {};
  ASSERT_TRUE(store_->add("second", spec, {}, at(20)));
  ASSERT_TRUE(store_->cancel("first", at(21)));  // and "second" fails with it
  ASSERT_TRUE(store_->mark_swept("first"));
  EXPECT_THAT(prune({.before = at(20)}), ElementsAre("waits"));
  // Without "first", "second" would run when it is tried again, and it must not.
  EXPECT_THAT(prune({.state = JobState::kCancelled}), IsEmpty());
  EXPECT_EQ(store_->revive("second", at(30)).error().code, Code::kConflict);
  EXPECT_THAT(prune({}), ElementsAre("second"));
  EXPECT_THAT(prune({}), ElementsAre("first"));
}

TEST_F(PruneTest, WhatAnExecutorMayStillWriteToStays) {
  add("runs");
  const Claim mine = claim();
  ASSERT_TRUE(store_->cancel("runs", at(3)));
  EXPECT_THAT(prune({}), IsEmpty());
  ASSERT_TRUE(store_->mark_swept("runs"));
  EXPECT_THAT(prune({}), ElementsAre("runs"));
  EXPECT_EQ(store_->finish("runs", mine.token, "r", "s", at(4)).error().code, Code::kNotFound);
}

TEST_F(PruneTest, QuarantinedJobsStayAndKeysAreForgotten) {
  add("poison");
  for (int i = 0; i < 3; ++i) {
    const Claim mine = claim();
    ASSERT_TRUE(store_->retry("poison", mine.token, {Code::kWorkerFailed, "died"}, "", at(5)));
  }
  ASSERT_EQ(state("poison"), JobState::kQuarantined);
  EXPECT_THAT(prune({}), IsEmpty());
  JobSpec spec;
  spec.kind = "test";
  spec.idempotency_key = "key";
  ASSERT_TRUE(store_->add("a", spec, {{"/f", Bytes{1}, 2, 3, "hash"}}, at(1)));
  ASSERT_TRUE(store_->cancel("a", at(2)));
  ASSERT_TRUE(store_->mark_swept("a"));
  EXPECT_EQ(*store_->add("b", spec, {}, at(3)), "a");
  EXPECT_TRUE(*store_->needs_input("hash"));
  Result<std::vector<Pruned>> gone = store_->prune({}, 1, false);
  ASSERT_TRUE(gone);
  EXPECT_THAT(gone->front().input_sha256, ElementsAre("hash"));
  EXPECT_FALSE(*store_->needs_input("hash"));
  EXPECT_EQ(*store_->add("b", spec, {}, at(3)), "b");
}

class PrunerTest : public ForemanBench {
 protected:
  std::string done(int steps = 1) {
    const std::string id = *submit({{"steps", steps}});
    EXPECT_EQ(wait(id).state, JobState::kDone);
    until([&] { return files_of(id) == 1; });
    return id;
  }
  size_t folders() { return host.list(state() + "/jobs")->size(); }
};

TEST_F(PrunerTest, TheRowTheFolderAndTheResultGo) {
  const std::string a = done(), b = done();
  until([&] { return foreman->prune({.older = Millis(-1000), .dry = true})->size() == 2; });
  EXPECT_THAT(*foreman->prune({.older = std::chrono::hours(1)}), IsEmpty());
  EXPECT_THAT(*foreman->prune({}), IsEmpty()) << "by the configuration";
  EXPECT_THAT(*foreman->prune({.state = JobState::kFailed}), IsEmpty());
  EXPECT_EQ(foreman->prune({.state = JobState::kQueued}).error().code, Code::kUsage);
  EXPECT_EQ(foreman->prune({.state = JobState::kQuarantined}).error().code, Code::kUsage);
  EXPECT_THAT(*foreman->prune({.state = JobState::kDone}), ElementsAre(a, b));
  EXPECT_EQ(foreman->job(a).error().code, Code::kNotFound);
  EXPECT_EQ(folders(), 0U);
  EXPECT_EQ(foreman->retry(b).error().code, Code::kNotFound);
}

TEST_F(PrunerTest, TheConfigurationsRuleHoldsByItself) {
  config.keep_jobs = 5;
  ASSERT_TRUE(start());
  std::vector<std::string> ids;
  for (int i = 0; i < 130; ++i) ids.push_back(*submit({}));
  for (const std::string& id : ids) {
    until([&] {
      const Result<Job> job = foreman->job(id);
      return !job || job->state == JobState::kDone;
    });
  }
  EXPECT_LT(foreman->jobs({.limit = 1000})->size(), 100U) << "it looks every 50 jobs";
  ASSERT_TRUE(start());
  until([&] { return folders() == 5; });
  EXPECT_EQ(foreman->jobs({.limit = 1000})->front().id, ids.back());
  config.keep_jobs = 0;
  config.keep_days = 1;
  ASSERT_TRUE(start());
  EXPECT_THAT(*foreman->prune({}), IsEmpty());
  EXPECT_EQ(folders(), 5U);
}

TEST_F(PrunerTest, ACrashBetweenRowAndFolderLeavesNothing) {
  const std::string id = done();
  until([&] { return foreman->prune({.state = JobState::kDone, .dry = true})->size() == 1; });
  foreman.reset();
  {
    auto store = Store::open(state() + "/gantry.db", {});
    ASSERT_TRUE(store);
    ASSERT_EQ((*store)->prune({}, 10, false)->size(), 1U);
  }
  EXPECT_EQ(folders(), 1U);
  ASSERT_TRUE(start());
  EXPECT_EQ(folders(), 0U);
  foreman.reset();
  auto store = Store::open(state() + "/gantry.db", {});
  EXPECT_THAT(*(*store)->unremoved(), IsEmpty());
}

TEST_F(PrunerTest, NothingGoesWhileABackupIsMade) {
  auto log = silent_log();
  auto store = Store::open(dir + "/other.db", {});
  ASSERT_TRUE(store);
  Inputs inputs(host, **store, dir + "/inputs");
  Pruner pruner({&host, &clock, log.get(), store->get(), &inputs, dir + "/jobs", 1, 1});
  {
    const Pruner::Stay stay(pruner);
    EXPECT_EQ(pruner.prune({}, false).error().code, Code::kBusy);
    EXPECT_TRUE(pruner.prune({}, true));
  }
  EXPECT_TRUE(pruner.prune({}, false));
}

}  // namespace
}  // namespace gantry
