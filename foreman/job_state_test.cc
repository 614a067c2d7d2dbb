// The transition table: what leads where, and what must not.
#include "foreman/job_state.h"

#include <gtest/gtest.h>

#include <fstream>

namespace gantry {
namespace {

TEST(JobState, NothingLeadsOutOfDone) {
  for (const JobState to : kJobStates) EXPECT_FALSE(may_become(JobState::kDone, to));
}

// Only the user's word does, and that puts a job to where its dependencies and time are looked at.
TEST(JobState, AnEndedJobGoesOnThroughWaitingAlone) {
  for (const JobState from : {JobState::kFailed, JobState::kCancelled, JobState::kQuarantined}) {
    EXPECT_TRUE(is_final(from));
    for (const JobState to : kJobStates) {
      EXPECT_EQ(may_become(from, to), to == JobState::kWaiting) << job_state_name(to);
    }
  }
}

TEST(JobState, OnlyARunningJobCanBeDoneOrQuarantined) {
  for (const JobState from : kJobStates) {
    EXPECT_EQ(may_become(from, JobState::kDone), from == JobState::kRunning);
    EXPECT_EQ(may_become(from, JobState::kQuarantined), from == JobState::kRunning);
    EXPECT_FALSE(may_become(from, from)) << job_state_name(from);
  }
}

TEST(JobState, WhatHasNotEndedCanBeCancelled) {
  for (const JobState from : kJobStates) {
    EXPECT_EQ(may_become(from, JobState::kCancelled), !is_final(from)) << job_state_name(from);
  }
}

// docs/queue.md says what this table says, row for row.
TEST(JobState, TheTableIsTheOneInTheDocumentation) {
  std::ifstream file(GANTRY_SOURCE_DIR "/docs/queue.md");
  std::vector<std::string> rows, expected;
  bool table = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "| from | to | when |") {
      table = true;
    } else if (table && !line.starts_with("|---")) {
      if (!line.starts_with("| ")) break;
      rows.push_back(line);
    }
  }
  for (const Transition& t : kTransitions) {
    expected.push_back("| " + std::string(job_state_name(t.from)) + " | " +
                       std::string(job_state_name(t.to)) + " | " + t.when + " |");
  }
  EXPECT_EQ(rows, expected);
}

TEST(JobState, NamesGoBothWays) {
  for (const JobState state : kJobStates) EXPECT_EQ(parse_job_state(job_state_name(state)), state);
  EXPECT_EQ(parse_job_state("unknown"), std::nullopt);
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    EXPECT_EQ(parse_code(code_name(static_cast<Code>(i))), static_cast<Code>(i));
  }
  EXPECT_EQ(parse_code("nonsense"), Code::kInternal);
}

}  // namespace
}  // namespace gantry
