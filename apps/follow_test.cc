// Following jobs: what a job's JSON means for the exit status, and the table of steps.
#include "apps/follow.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gantry {
namespace {

TEST(Follow, OutcomesOfJobs) {
  EXPECT_TRUE(job_outcome({{"state", "done"}}));
  EXPECT_EQ(job_outcome({{"state", "cancelled"}}).error().code, Code::kCancelled);
  EXPECT_EQ(job_outcome({{"state", "running"}}).error().code, Code::kUnavailable);
  EXPECT_EQ(job_outcome({{"state", 3}}).error().code, Code::kUnavailable);
  const Result<void> failed = job_outcome(
      {{"state", "failed"},
       {"error", {{"code", "does_not_fit"}, {"message", "too big"}, {"remedy", "-c 512"}}}});
  EXPECT_EQ(exit_code(failed.error().code), 3);
  EXPECT_EQ(describe(failed.error()), "too big (-c 512)");
}

TEST(Follow, StepsBecomeATable) {
  const std::string table = step_table(nlohmann::json::parse(
      R"([{"name":"transcribe a.wav","model":"micro-asr","device":"cpu","predicted_bytes":41943040,
          "measured_bytes":31457280,"load_s":0.5,"run_s":1.25}, 3])"));
  EXPECT_NE(table.find("transcribe a.wav"), std::string::npos);
  EXPECT_NE(table.find("40.0 MiB"), std::string::npos);
  EXPECT_NE(table.find("30.0 MiB"), std::string::npos);
  EXPECT_EQ(std::ranges::count(table, '\n'), 2);
}

}  // namespace
}  // namespace gantry
