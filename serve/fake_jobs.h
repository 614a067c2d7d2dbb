// For tests: the part of the foreman's door that is about jobs, over a table.
#pragma once

#include <functional>
#include <map>

#include "foreman/client.h"

namespace gantry {

class FakeJobs : public ForemanClient {
 public:
  std::map<std::string, Job> job_table;
  std::string backed_up;
  JobSpec submitted;
  std::function<void(const JobSpec&)> on_submit;
  std::optional<Error> submit_fault;
  PruneWish pruned;

  [[nodiscard]] Result<std::string> submit(const JobSpec& spec) override {
    if (submit_fault) return fail(*submit_fault);
    submitted = spec;
    if (on_submit) on_submit(spec);
    return std::string("01jaaaaaaaaaaaaaaaaa");
  }
  [[nodiscard]] Result<Job> job(const std::string& id) override {
    if (!job_table.contains(id)) return fail(Code::kNotFound, "no job " + id);
    return job_table.at(id);
  }
  [[nodiscard]] Result<std::vector<Job>> jobs(const JobQuery& query) override {
    std::vector<Job> list;
    for (const auto& [id, job] : job_table) {
      if (list.size() < query.limit && job.part_of == query.part_of &&
          (!query.state || job.state == *query.state)) {
        list.push_back(job);
      }
    }
    return list;
  }
  [[nodiscard]] Result<JobTally> tally() override {
    JobTally tally;
    for (const auto& [id, job] : job_table) ++tally.jobs.at(static_cast<size_t>(job.state));
    return tally;
  }
  [[nodiscard]] Result<void> pause(const std::string& id) override {
    return change(id, JobState::kQueued, JobState::kPaused);
  }
  [[nodiscard]] Result<void> resume(const std::string& id) override {
    return change(id, JobState::kPaused, JobState::kQueued);
  }
  [[nodiscard]] Result<void> retry(const std::string& id) override {
    return change(id, JobState::kFailed, JobState::kQueued);
  }
  [[nodiscard]] Result<std::vector<std::string>> prune(const PruneWish& wish) override {
    pruned = wish;
    return std::vector<std::string>{"01jaaaaaaaaaaaaaaaaa"};
  }
  [[nodiscard]] Result<void> backup(const std::string& dir) override {
    backed_up = dir;
    return {};
  }
  [[nodiscard]] Result<void> change(const std::string& id, JobState from, JobState to) {
    Job& job = job_table.at(id);
    if (job.state != from) return fail(Code::kConflict, "the job is something else");
    job.state = to;
    return {};
  }
  [[nodiscard]] Result<void> cancel(const std::string& id) override {
    const JobState was = job_table.at(id).state;
    return change(id, was == JobState::kDone ? JobState::kQueued : was, JobState::kCancelled);
  }
};

}  // namespace gantry
