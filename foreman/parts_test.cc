// Parts of jobs: jobs of their own, run by the whole's executor, and ended with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "foreman/store_bench.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class PartsTest : public ForemanBench {
 protected:
  std::vector<Job> parts(const std::string& id) {
    auto found = foreman->jobs({.limit = 100, .part_of = id});
    EXPECT_TRUE(found);
    std::vector<Job> oldest_first(found->rbegin(), found->rend());
    return oldest_first;
  }
  std::vector<JobState> states(const std::string& id) {
    std::vector<JobState> all;
    for (const Job& part : parts(id)) all.push_back(part.state);
    return all;
  }
};

TEST_F(PartsTest, EachIsAJobWithAResult) {
  const std::string id = *submit({{"steps", 1}, {"parts", 3}, {"model", "small"}});
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id),
            "step 0 by attempt 1\npart 0 by attempt 1\npart 1 by attempt 1\npart 2 by attempt 1\n");
  const std::vector<Job> all = parts(id);
  ASSERT_EQ(all.size(), 3U);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].spec.kind, kPartKind);
    EXPECT_EQ(all[i].state, JobState::kDone);
    EXPECT_EQ(all[i].part_of, id);
    EXPECT_EQ(all[i].part, "part " + std::to_string(i));
    EXPECT_EQ(all[i].spec.params, "{\"n\":" + std::to_string(i) + "}");
    EXPECT_EQ(all[i].device, "cpu");
    EXPECT_EQ(*foreman->result(all[i].id), all[i].part + " by attempt 1\n");
    until([&] { return files_of(all[i].id) == 1; });
  }
  EXPECT_EQ(foreman->jobs({.limit = 10})->size(), 1U);  // the list is of whole jobs
  EXPECT_EQ(foreman->job(id)->part_of, "");
  EXPECT_EQ(foreman->tally()->of(JobState::kDone), 4U);
}

TEST_F(PartsTest, NobodySubmitsOne) {
  JobSpec spec;
  spec.kind = kPartKind;
  spec.params = "{}";
  EXPECT_EQ(foreman->submit(spec).error().code, Code::kUsage);
}

TEST_F(PartsTest, OneIsTriedAgainWithTheWhole) {
  const int worker_failed = static_cast<int>(Code::kWorkerFailed);
  const std::string id =
      *submit({{"steps", 0}, {"parts", 2}, {"fail", worker_failed}, {"fail_until", 3}});
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id), "part 0 by attempt 3\npart 1 by attempt 3\n");
  const std::vector<Job> all = parts(id);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].attempts, 3U);
  EXPECT_EQ(all[1].attempts, 1U);
}

TEST_F(PartsTest, OneThatWorkersDieOfIsPutAsideWithTheWhole) {
  const int worker_failed = static_cast<int>(Code::kWorkerFailed);
  const std::string id = *submit({{"steps", 0}, {"parts", 2}, {"fail", worker_failed}});
  const Job whole = wait(id);
  EXPECT_EQ(whole.state, JobState::kQuarantined);
  EXPECT_THAT(states(id), ElementsAre(JobState::kQuarantined));
  EXPECT_EQ(nlohmann::json::parse(parts(id)[0].evidence).size(), kJobAttemptsMax);
  ASSERT_TRUE(foreman->retry(id));
  EXPECT_EQ(wait(id).state, JobState::kQuarantined);
  EXPECT_EQ(nlohmann::json::parse(parts(id)[0].evidence).size(), 2 * kJobAttemptsMax);
}

TEST_F(PartsTest, AFinalErrorIsTheWholes) {
  const int corrupt = static_cast<int>(Code::kCorrupt);
  const std::string id = *submit({{"steps", 0}, {"parts", 2}, {"fail", corrupt}});
  EXPECT_EQ(wait(id).state, JobState::kFailed);
  EXPECT_EQ(wait(id).error->code, Code::kCorrupt);
  EXPECT_THAT(states(id), ElementsAre(JobState::kFailed));
  const std::string part = parts(id)[0].id;
  EXPECT_EQ(parts(id)[0].error->message, "as told");
  EXPECT_THAT(foreman->retry(part).error().message, HasSubstr("is a part of another one"));
  EXPECT_EQ(foreman->retry(part).error().code, Code::kUsage);
}

TEST_F(PartsTest, PausedAndResumedOnlyWhatIsLeftIsDone) {
  const std::string id = *submit({{"steps", 0}, {"parts", 3}, {"wait_ms", 150}});
  until([&] { return states(id).size() == 2; });
  ASSERT_TRUE(foreman->pause(id));
  until([&] { return executor->idle() && states(id)[1] == JobState::kQueued; });
  EXPECT_THAT(states(id), ElementsAre(JobState::kDone, JobState::kQueued));
  const std::string first = parts(id)[0].result_sha256;
  ASSERT_TRUE(foreman->resume(id));
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_THAT(states(id), Each(JobState::kDone));
  ASSERT_EQ(parts(id).size(), 3U);
  EXPECT_EQ(parts(id)[0].result_sha256, first);
  for (const Job& part : parts(id)) EXPECT_EQ(part.attempts, 1U) << part.part;
}

TEST_F(PartsTest, CancelledTogether) {
  const std::string id = *submit({{"steps", 0}, {"parts", 3}, {"wait_ms", 60'000}});
  until([&] { return states(id).size() == 1; });
  EXPECT_EQ(foreman->cancel(parts(id)[0].id).error().code, Code::kUsage);
  EXPECT_EQ(foreman->pause(parts(id)[0].id).error().code, Code::kUsage);
  ASSERT_TRUE(foreman->cancel(id));
  EXPECT_THAT(states(id), ElementsAre(JobState::kCancelled));
  until([&] { return foreman->idle(); });
  EXPECT_EQ(foreman->tally()->unfinished(), 0U);
  until([&] { return files_of(parts(id)[0].id) == 0; });
}

TEST_F(PartsTest, ARestartGoesOnWithThem) {
  const std::string id = *submit({{"steps", 0}, {"parts", 4}, {"wait_ms", 60}});
  until([&] { return states(id).size() == 2; });
  ASSERT_TRUE(start());
  EXPECT_EQ(wait(id).state, JobState::kDone);
  ASSERT_EQ(parts(id).size(), 4U);
  EXPECT_THAT(states(id), Each(JobState::kDone));
  std::string all;
  for (const Job& part : parts(id)) all += *foreman->result(part.id);
  EXPECT_EQ(*foreman->result(id), all);
}

TEST_F(PartsTest, PrunedTogether) {
  const std::string id = *submit({{"steps", 0}, {"parts", 3}});
  const std::string other = *submit({});
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(wait(other).state, JobState::kDone);
  const std::string part = parts(id)[2].id;
  until([&] { return files_of(part) == 1; });
  const auto gone = [&]() -> bool {
    const auto pruned = foreman->prune({.older = Millis(-60'000)});
    EXPECT_TRUE(pruned);
    return !foreman->job(id);
  };
  until(gone);  // once their folders are swept
  EXPECT_EQ(foreman->job(part).error().code, Code::kNotFound);
  EXPECT_EQ(files_of(part), 0U);
  until([&] { return gone() && foreman->tally()->of(JobState::kDone) == 0; });
}

class PartRows : public StoreBench {
 protected:
  Job part(const std::string& id, const std::string& params = "{}") {
    Job wanted;
    wanted.id = id;
    wanted.part = "one";
    wanted.spec.params = params;
    return wanted;
  }
};

TEST_F(PartRows, OnlyWhoRunsTheWholeClaimsOne) {
  add("whole");
  EXPECT_EQ(store_->claim_part("whole", 1, part("p"), at(2)).error().code, Code::kConflict);
  const Claim old = claim();
  const Claim mine = *store_->claim_part("whole", old.token, part("p"), at(2));
  EXPECT_GT(mine.token, old.token);
  EXPECT_EQ(store_->recover(at(3))->size(), 2U);
  EXPECT_EQ(state("p"), JobState::kQueued);
  EXPECT_EQ(store_->claim_part("whole", old.token, part("q"), at(3)).error().code,
            Code::kConflict);
  const Claim again = claim();  // never the part itself
  EXPECT_EQ(again.job.id, "whole");
  EXPECT_FALSE(store_->claim(at(3))->has_value());
  const Claim anew = *store_->claim_part("whole", again.token, part("q"), at(4));
  EXPECT_EQ(anew.job.id, "p") << "one of that name is there";
  EXPECT_EQ(anew.job.attempts, 2U);
  EXPECT_EQ(store_->finish("p", mine.token, "r", "s", at(5)).error().code, Code::kConflict);
  EXPECT_TRUE(store_->finish("p", anew.token, "r", "s", at(5)));
  const Claim done = *store_->claim_part("whole", again.token, part("q"), at(6));
  EXPECT_EQ(done.job.state, JobState::kDone);
  EXPECT_EQ(done.job.result_sha256, "s");
}

TEST_F(PartRows, AnotherPartOfTheSameNameTakesItsPlace) {
  add("whole");
  const Claim whole = claim();
  const Claim old = *store_->claim_part("whole", whole.token, part("p", R"({"n":1})"), at(2));
  EXPECT_TRUE(store_->finish("p", old.token, "r", "s", at(3)));
  const Claim other = *store_->claim_part("whole", whole.token, part("q", R"({"n":2})"), at(4));
  EXPECT_EQ(other.job.id, "q");
  EXPECT_EQ(other.job.state, JobState::kRunning);
  EXPECT_EQ(store_->job("p").error().code, Code::kNotFound);
  EXPECT_EQ(*store_->unremoved(), std::vector<std::string>{"p"});
}

TEST_F(PartRows, TheEndOfTheWholeIsTheirs) {
  add("whole");
  const Claim whole = claim();
  ASSERT_TRUE(store_->claim_part("whole", whole.token, part("p"), at(2)));
  ASSERT_TRUE(store_->finish("whole", whole.token, "r", "s", at(3)));
  EXPECT_EQ(state("p"), JobState::kCancelled);
  EXPECT_EQ(store_->tally()->unfinished(), 0U);
}

// A whole that gets on with its parts is not given up, however often the daemon ends under it.
TEST_F(PartRows, ADonePartIsProgressOfTheWhole) {
  add("whole");
  for (uint32_t i = 0; i < 2 * kJobLostMax; ++i) {
    const Claim whole = claim();
    Job next = part("p" + std::to_string(i));
    next.part = next.id;
    const Claim mine = *store_->claim_part("whole", whole.token, next, at(2));
    ASSERT_TRUE(store_->finish(next.id, mine.token, "r", "s", at(3)));
    ASSERT_TRUE(store_->recover(at(4)));
    ASSERT_EQ(state("whole"), JobState::kQueued);
  }
  for (uint32_t i = 1; i < kJobLostMax; ++i) {  // the first was the last of those above
    const Claim whole = claim();
    ASSERT_TRUE(store_->claim_part("whole", whole.token, part("stuck"), at(5)));
    ASSERT_TRUE(store_->recover(at(6)));
  }
  EXPECT_EQ(state("whole"), JobState::kFailed);
  EXPECT_EQ(store_->tally()->unfinished(), 0U);
}

}  // namespace
}  // namespace gantry
