// What a job may wait for, what ends it, and what the user may do about it.
#include <gtest/gtest.h>
#include <pthread.h>

#include <thread>

#include "base/limits.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

class MovesTest : public StoreBench {
 protected:
  Result<std::string> submit(const std::string& id, JobSpec spec) {
    spec.kind = "test";
    spec.params = "{}";
    return store_->add(id, spec, {}, at(1));
  }
  std::string claimed(int64_t now) {
    Result<std::optional<Claim>> got = store_->claim(at(now));
    EXPECT_TRUE(got) << got.error().message;
    return got && *got ? (*got)->job.id : "";
  }
  // Claims the job and lets its worker die under it.
  JobState die(const std::string& evidence = R"({"signal":9})") {
    const Claim mine = claim();
    return *store_->retry(mine.job.id, mine.token, {Code::kWorkerFailed, "its worker died"},
                          evidence, at(5));
  }
};

TEST_F(MovesTest, AJobWaitsForItsTime) {
  JobSpec later;
  later.not_before = at(100);
  ASSERT_TRUE(submit("later", later));
  EXPECT_EQ(state("later"), JobState::kWaiting);
  EXPECT_EQ(store_->job("later")->waits_for, "1970-01-01T00:00:00.100Z");
  EXPECT_EQ(**store_->next_due(), at(100));
  EXPECT_EQ(claimed(99), "");
  reopen();
  EXPECT_EQ(claimed(100), "later");
  EXPECT_FALSE(store_->next_due()->has_value());
}

// Found by simulation: the second of two that ended together was ended twice, and no job was ever
// claimed again.
TEST_F(MovesTest, WhatDependsOnSeveralThatEndEndsOnce) {
  for (const bool late : {true, false}) {
    const std::string n = late ? "1" : "2";
    const auto after = [&](const std::string& id, const std::vector<std::string>& needs) {
      JobSpec spec;
      spec.depends_on = needs;
      if (late) spec.deadline = at(10);
      ASSERT_TRUE(submit(id + n, spec));
    };
    after("a", {});
    after("b", {"a" + n});
    after("c", {"a" + n, "b" + n});
    after("d", {"b" + n, "c" + n});
    if (late) {
      EXPECT_EQ(claimed(11), "");
    } else {
      const Result<Job> cancelled = store_->cancel("a2", at(12));
      ASSERT_TRUE(cancelled) << cancelled.error().message;
    }
    for (const char* id : {"b", "c", "d"}) EXPECT_EQ(state(id + n), JobState::kFailed) << id << n;
  }
}

// On a small stack: it must not be as deep as the chain is long.
TEST_F(MovesTest, AChainMayBeLong) {
  constexpr int kLong = 2'000;
  add("0");
  for (int i = 1; i < kLong; ++i) {
    JobSpec spec;
    spec.depends_on = {std::to_string(i - 1)};
    ASSERT_TRUE(submit(std::to_string(i), spec));
  }
  pthread_attr_t small;
  ASSERT_EQ(pthread_attr_init(&small), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&small, 256 << 10), 0);
  pthread_t thread{};
  const auto cancel = [](void* store) -> void* {
    EXPECT_TRUE(static_cast<Store*>(store)->cancel("0", at(2)));
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &small, cancel, store_.get()), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_EQ(store_->tally()->of(JobState::kFailed), uint64_t{kLong - 1});
}

TEST_F(MovesTest, AJobWaitsForWhatItDependsOn) {
  add("a");
  add("b");
  JobSpec both;
  both.depends_on = {"a", "b", "a"};
  both.priority = 9;
  ASSERT_TRUE(submit("both", both));
  EXPECT_EQ(store_->job("both")->waits_for, "2 jobs");
  EXPECT_EQ(store_->job("both")->spec.depends_on, (std::vector<std::string>{"a", "b"}));
  reopen();
  for (const char* id : {"a", "b"}) {
    const Claim mine = claim();
    EXPECT_EQ(mine.job.id, id);
    EXPECT_EQ(state("both"), JobState::kWaiting);
    ASSERT_TRUE(store_->finish(id, mine.token, "r", "s", at(3)));
  }
  EXPECT_EQ(claimed(4), "both");
  JobSpec none;
  none.depends_on = {"nobody"};
  EXPECT_EQ(submit("none", none).error().code, Code::kNotFound);
  EXPECT_EQ(store_->job("none").error().code, Code::kNotFound);
}

TEST_F(MovesTest, WhatDependsOnALostJobEndsWithIt) {
  add("root");
  for (const auto& [id, needs] : {std::pair{"leaf", "root"}, std::pair{"leafs leaf", "leaf"}}) {
    JobSpec spec;
    spec.depends_on = {needs};
    ASSERT_TRUE(submit(id, spec));
  }
  ASSERT_TRUE(store_->cancel("root", at(3)));
  EXPECT_EQ(state("leafs leaf"), JobState::kFailed);
  EXPECT_NE(store_->job("leafs leaf")->error->message.find("job leaf, which is failed"),
            std::string::npos);
  EXPECT_EQ(store_->tally()->unfinished(), 0U);
  JobSpec late;
  late.depends_on = {"root"};
  EXPECT_EQ(submit("late", late).error().code, Code::kConflict);
  // The user may want the whole tree after all, from its root on.
  EXPECT_EQ(store_->revive("leaf", at(4)).error().code, Code::kConflict);
  EXPECT_EQ(*store_->revive("root", at(4)), JobState::kCancelled);
  EXPECT_EQ(*store_->revive("leaf", at(4)), JobState::kFailed);
  EXPECT_EQ(state("leaf"), JobState::kWaiting);
  const Claim mine = claim();
  EXPECT_EQ(mine.job.id, "root");
  ASSERT_TRUE(store_->finish("root", mine.token, "r", "s", at(5)));
  EXPECT_EQ(claimed(6), "leaf");
}

TEST_F(MovesTest, ADeadlineEndsWhatHasNotBegun) {
  JobSpec spec;
  spec.deadline = at(50);
  ASSERT_TRUE(submit("late", spec));
  ASSERT_TRUE(submit("begun", spec));
  spec.not_before = at(40);
  ASSERT_TRUE(submit("waiting", spec));
  EXPECT_EQ(**store_->next_due(), at(40));
  EXPECT_EQ(claimed(10), "late");
  EXPECT_EQ(claimed(10), "begun");
  EXPECT_EQ(claimed(51), "");
  EXPECT_EQ(state("late"), JobState::kRunning);
  EXPECT_EQ(state("waiting"), JobState::kFailed);
  EXPECT_EQ(store_->job("waiting")->error->code, Code::kTimeout);
}

TEST_F(MovesTest, PausedIsOutOfTheLineAndKeepsItsCheckpoints) {
  add("queued");
  add("running");
  EXPECT_EQ(*store_->pause("queued"), JobState::kQueued);
  const Claim mine = claim();
  EXPECT_EQ(mine.job.id, "running");
  ASSERT_TRUE(store_->add_checkpoint("running", mine.token, {"step", "f", "h"}));
  EXPECT_EQ(*store_->pause("running"), JobState::kRunning);
  EXPECT_EQ(store_->finish("running", mine.token, "r", "s", at(3)).error().code, Code::kConflict);
  EXPECT_EQ(store_->pause("running").error().code, Code::kConflict);
  EXPECT_EQ(store_->tally()->unfinished(), 0U);
  reopen();
  EXPECT_TRUE(store_->recover(at(4))->empty());
  EXPECT_EQ(claimed(5), "");
  ASSERT_TRUE(store_->resume("running", at(6)));
  EXPECT_EQ(store_->resume("running", at(6)).error().code, Code::kConflict);
  const Claim again = claim();
  EXPECT_EQ(again.job.id, "running");
  EXPECT_EQ(again.job.attempts, 1U);
  EXPECT_EQ(store_->checkpoints("running")->size(), 1U);
}

TEST_F(MovesTest, ThreeDeadWorkersPutAJobAside) {
  add("poison");
  EXPECT_EQ(die(), JobState::kQueued);
  EXPECT_EQ(die(), JobState::kQueued);
  EXPECT_EQ(die(R"({"signal":11})"), JobState::kQuarantined);
  EXPECT_EQ(store_->job("poison")->evidence, R"([{"signal":9},{"signal":9},{"signal":11}])");
  EXPECT_EQ(claimed(6), "");
  EXPECT_TRUE(store_->unswept()->empty()) << "its work is evidence";
  EXPECT_EQ(*store_->revive("poison", at(7)), JobState::kQuarantined);
  EXPECT_FALSE(store_->job("poison")->error);
  EXPECT_EQ(claimed(8), "poison");
}

TEST_F(MovesTest, WorkersThatDieNowAndThenPutNothingAside) {
  add("long");
  for (int i = 0; i < 10; ++i) {
    const Claim mine = claim();
    ASSERT_TRUE(store_->add_checkpoint("long", mine.token, {std::to_string(i), "f", "h"}));
    EXPECT_EQ(*store_->retry("long", mine.token, {Code::kWorkerFailed, "x"}, "{}", at(3)),
              JobState::kQueued);
  }
}

TEST_F(MovesTest, NoMoreAttemptsThanTheUserAllows) {
  JobSpec once;
  once.attempts_max = 1;
  ASSERT_TRUE(submit("once", once));
  EXPECT_EQ(die(), JobState::kFailed);
}

TEST_F(MovesTest, CallsAtTheSameTimeShareATransactionAndFailAlone) {
  add("claimed");
  const Claim mine = claim();
  std::atomic<int> added{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        added += submit(id, {}).has_value() ? 1 : 0;
        const Result<void> stale = store_->finish("claimed", mine.token - 1, "r", "s", at(2));
        refused += !stale && stale.error().code == Code::kConflict ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(added, 200);
  EXPECT_EQ(refused, 200);
  EXPECT_EQ(store_->tally()->of(JobState::kQueued), 200U);
  EXPECT_EQ(store_->tally()->of(JobState::kRunning), 1U);
  reopen();
  EXPECT_EQ(store_->jobs({.limit = 1000})->size(), 201U);
  EXPECT_EQ(store_->jobs({.limit = 1000, .state = JobState::kRunning})->size(), 1U);
}

TEST_F(MovesTest, ListsPageByPage) {
  for (const char* id : {"a", "b", "c"}) add(id);
  EXPECT_EQ(store_->jobs({.limit = 1, .before = "c"})->front().id, "b");
  EXPECT_TRUE(store_->jobs({.before = "a"})->empty());
}

}  // namespace
}  // namespace gantry
