// The transition table: what leads where, and what must not.
#include "foreman/job_state.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

constexpr std::array<JobState, 5> kAll = {JobState::kQueued, JobState::kRunning, JobState::kDone,
                                          JobState::kFailed, JobState::kCancelled};

TEST(JobState, FinalStatesHaveNoWayOut) {
  for (const JobState from : kAll) {
    bool any = false;
    for (const JobState to : kAll) any = any || may_become(from, to);
    EXPECT_EQ(any, !is_final(from)) << job_state_name(from);
  }
}

TEST(JobState, OnlyARunningJobCanBeDone) {
  for (const JobState from : kAll) {
    EXPECT_EQ(may_become(from, JobState::kDone), from == JobState::kRunning);
    EXPECT_FALSE(may_become(from, from)) << job_state_name(from);
  }
}

TEST(JobState, NamesGoBothWays) {
  for (const JobState state : kAll) EXPECT_EQ(parse_job_state(job_state_name(state)), state);
  EXPECT_EQ(parse_job_state("quarantined"), std::nullopt);
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    EXPECT_EQ(parse_code(code_name(static_cast<Code>(i))), static_cast<Code>(i));
  }
  EXPECT_EQ(parse_code("nonsense"), Code::kInternal);
}

}  // namespace
}  // namespace gantry
