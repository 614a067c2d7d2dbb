// Jobs from claim to end: retried, cancelled, interrupted, taken up again.
#include "foreman/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/limits.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::HasSubstr;

class RunnerTest : public ForemanBench {};

TEST_F(RunnerTest, AJobRunsAndItsResultIsKept) {
  const std::string id = *submit({{"steps", 2}, {"model", "small"}});
  const Job job = wait(id);
  EXPECT_EQ(job.state, JobState::kDone);
  EXPECT_EQ(job.attempts, 1U);
  EXPECT_EQ(job.device, "cpu");
  EXPECT_EQ(job.progress, 1);
  EXPECT_EQ(*foreman->result(id), "step 0 by attempt 1\nstep 1 by attempt 1\n");
  until([&] { return files_of(id) == 1; });  // nothing but the result
  EXPECT_EQ(foreman->jobs({.limit = 10})->size(), 1U);
  ASSERT_TRUE(start());
  EXPECT_EQ(*foreman->result(id), "step 0 by attempt 1\nstep 1 by attempt 1\n");
  EXPECT_TRUE(foreman->idle());
}

TEST_F(RunnerTest, RetryableErrorsAreTriedAgainOthersNot) {
  const int worker_failed = static_cast<int>(Code::kWorkerFailed);
  const std::string comes_back = *submit({{"fail", worker_failed}, {"fail_until", 3}});
  EXPECT_EQ(wait(comes_back).state, JobState::kDone);
  EXPECT_EQ(wait(comes_back).attempts, 3U);
  const std::string never = *submit({{"fail", worker_failed}});
  const Job failed = wait(never);
  EXPECT_EQ(failed.state, JobState::kQuarantined);
  EXPECT_EQ(failed.attempts, kJobAttemptsMax);
  EXPECT_EQ(nlohmann::json::parse(failed.evidence).size(), kJobAttemptsMax);
  EXPECT_EQ(failed.error->code, Code::kWorkerFailed);
  EXPECT_THAT(failed.error->message, HasSubstr("as told"));
  const std::string once = *submit({{"fail", static_cast<int>(Code::kCorrupt)}});
  EXPECT_EQ(wait(once).attempts, 1U);
  EXPECT_EQ(wait(once).error->code, Code::kCorrupt);
  const std::string thrown = *submit({{"throw", true}});
  EXPECT_EQ(wait(thrown).error->code, Code::kInternal);
  EXPECT_EQ(foreman->result(never).error().code, Code::kConflict);
  EXPECT_GT(files_of(never), 0U) << "its work is evidence";
  until([&] { return files_of(once) == 0; });
  ASSERT_TRUE(foreman->retry(never));
  EXPECT_EQ(wait(never).state, JobState::kQuarantined);
  EXPECT_EQ(nlohmann::json::parse(wait(never).evidence).size(), 2 * kJobAttemptsMax);
}

TEST_F(RunnerTest, PausedJobsStopAndGoOnFromTheirCheckpoints) {
  const std::string id = *submit({{"steps", 2}, {"wait_ms", 300}});
  until([&] { return foreman->job(id)->step == "step 1"; });
  ASSERT_TRUE(foreman->pause(id));
  until([&] { return foreman->job(id)->state == JobState::kPaused && executor->idle(); });
  EXPECT_TRUE(foreman->idle());
  EXPECT_EQ(foreman->pause(id).error().code, Code::kConflict);
  ASSERT_TRUE(foreman->resume(id));
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id), "step 0 by attempt 1\nstep 1 by attempt 1\n");
}

// Found by simulation: both wrote into the job's folder, and the first one cleaned it at its end.
TEST_F(RunnerTest, ANewAttemptWaitsUntilThePausedOneHasLeft) {
  std::atomic<bool> leave{false};
  ASSERT_TRUE(start({}, [&](const Job&) {
    while (executor->runs == 1 && !leave) std::this_thread::sleep_for(Millis(1));
  }));
  const std::string id = *submit({{"steps", 2}});
  until([&] { return executor->runs == 1; });
  ASSERT_TRUE(foreman->pause(id));
  ASSERT_TRUE(foreman->resume(id));
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(executor->runs, 1);
    std::this_thread::sleep_for(Millis(1));
  }
  leave = true;
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(executor->runs, 2);
}

TEST_F(RunnerTest, JobsWaitForTheirTimeAndForEachOther) {
  JobSpec first;
  first.kind = "steps";
  first.not_before = clock.wall() + Millis(300);
  const std::string early = *foreman->submit(first);
  JobSpec second;
  second.kind = "steps";
  second.depends_on = {early};
  const std::string late = *foreman->submit(second);
  EXPECT_EQ(foreman->job(early)->state, JobState::kWaiting);
  EXPECT_FALSE(foreman->idle());
  EXPECT_EQ(wait(late).state, JobState::kDone);
  EXPECT_GE(wait(early).started, first.not_before);
  EXPECT_GE(wait(late).started, wait(early).finished);
  second.depends_on.assign(kJobDependsMax + 1, early);
  EXPECT_EQ(foreman->submit(second).error().code, Code::kTooLarge);
}

TEST_F(RunnerTest, AChangedInputIsAConflict) {
  const std::string blocker = *submit({{"wait_ms", 100}});
  const std::string other = *submit({{"wait_ms", 100}});
  const std::string input = file("in.wav", "before");
  const std::string id = *submit({}, {input});
  file("in.wav", "afterwards");
  const Job job = wait(id);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error->code, Code::kConflict);
  EXPECT_EQ(wait(blocker).state, JobState::kDone);
  EXPECT_EQ(wait(other).state, JobState::kDone);
}

TEST_F(RunnerTest, CancelAtAnyMoment) {
  const std::string running = *submit({{"wait_ms", 60'000}});
  const std::string also = *submit({{"wait_ms", 60'000}});
  const std::string queued = *submit({});
  until([&] { return executor->runs == 2; });
  ASSERT_TRUE(foreman->cancel(queued));
  ASSERT_TRUE(foreman->cancel(running));
  EXPECT_TRUE(foreman->cancel(running));  // twice is fine
  EXPECT_EQ(foreman->job(running)->state, JobState::kCancelled);
  EXPECT_EQ(foreman->job(queued)->state, JobState::kCancelled);
  ASSERT_TRUE(foreman->cancel(also));
  EXPECT_EQ(executor->runs, 2);
  const std::string next = *submit({});
  EXPECT_EQ(wait(next).state, JobState::kDone);
  EXPECT_EQ(foreman->cancel(next).error().code, Code::kConflict);
  EXPECT_EQ(foreman->cancel("nobody").error().code, Code::kNotFound);
  until([&] { return files_of(running) == 0; });
}

TEST_F(RunnerTest, StopPutsRunningJobsBackAndARestartFinishesThem) {
  const std::string id = *submit({{"steps", 3}, {"wait_ms", 400}, {"model", "small"}});
  until([&] { return foreman->job(id)->step == "step 1"; });
  foreman->stop();
  EXPECT_EQ(host.alive(), 0U);
  EXPECT_EQ(foreman->job(id)->state, JobState::kQueued);
  EXPECT_EQ(foreman->job(id)->attempts, 0U);
  EXPECT_EQ(submit({}).error().code, Code::kUnavailable);
  EXPECT_FALSE(foreman->load("small", false));
  ASSERT_TRUE(start());
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_THAT(*foreman->result(id), HasSubstr("step 0 by attempt 1\n"));  // kept, not done again
}

TEST_F(RunnerTest, ADamagedCheckpointIsDoneAgain) {
  const std::string id = *submit({{"steps", 2}, {"wait_ms", 300}});
  until([&] { return foreman->job(id)->step == "step 1"; });
  foreman->stop();
  const std::string steps = state() + "/jobs/" + id + "/steps";
  for (const auto& entry : std::filesystem::directory_iterator(steps)) {
    std::ofstream(entry.path()) << "damaged";
  }
  ASSERT_TRUE(start());
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(foreman->result(id)->find("damaged"), std::string::npos);
}

TEST_F(RunnerTest, CrashingWorkersDoNotLoseJobs) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(*submit({{"steps", 3}, {"model", i % 2 == 0 ? "small" : "big"}, {"wait_ms", 5}}));
  }
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(Millis(5));
    host.crash(i % 2 == 0 ? "small" : "big");
  }
  for (const std::string& id : ids) EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_LE(host.peak(), MiB(600));
}

}  // namespace
}  // namespace gantry
