// Rows of the job table read back as they were written.
#include "foreman/job_rows.h"

#include "foreman/schema.h"
#include "foreman/store_bench.h"

namespace gantry {
namespace {

class JobRowsTest : public StoreBench {};

TEST_F(JobRowsTest, EveryColumnComesBack) {
  add("first");
  JobSpec spec;
  spec.kind = "k";
  spec.params = "{}";
  spec.priority = -7;
  spec.idempotency_key = "key";
  spec.not_before = at(11);
  spec.deadline = at(22);
  spec.depends_on = {"first"};
  spec.attempts_max = 3;
  spec.device = "gpu0";
  spec.shortage = {"wait", "cpu"};
  const std::vector<FileIdentity> files = {{"/a", Bytes{5}, 6, 7}};
  ASSERT_TRUE(store_->add("second", spec, files, at(1)));
  store_.reset();
  const auto database = Database::open(path(), {job_schema(), 0});
  ASSERT_TRUE(database) << database.error().message;
  Statement query = (*database)->prepare(std::string(kSelectJobs) + "ORDER BY seq DESC", "read");
  const std::vector<Job> jobs = *read_jobs(**database, query);
  ASSERT_EQ(jobs.size(), 2U);
  const Job& job = jobs.front();
  EXPECT_EQ(job.id, "second");
  EXPECT_EQ(job.state, JobState::kWaiting);
  EXPECT_EQ(job.waits_for, "1 job");
  EXPECT_EQ(job.spec.priority, -7);
  EXPECT_EQ(job.spec.idempotency_key, "key");
  EXPECT_EQ(job.spec.not_before, at(11));
  EXPECT_EQ(job.spec.deadline, at(22));
  EXPECT_EQ(job.spec.depends_on, spec.depends_on);
  EXPECT_EQ(job.spec.attempts_max, 3U);
  EXPECT_EQ(job.spec.files, std::vector<std::string>{"/a"});
  EXPECT_EQ(job.spec.device, "gpu0");
  EXPECT_EQ(job.spec.shortage, spec.shortage);
  EXPECT_TRUE(jobs.back().spec.shortage.empty());
  EXPECT_EQ(job.submitted, at(1));
  EXPECT_FALSE(job.error);
  EXPECT_EQ(jobs.back().waits_for, "");
}

}  // namespace
}  // namespace gantry
