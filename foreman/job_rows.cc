// Rows of the job table to values.
#include "foreman/job_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "foreman/job_state.h"

namespace gantry {

const std::string_view kSelectJobs =
    "SELECT id, kind, params, priority, coalesce(idempotency_key,''), state, attempts, device,"
    " coalesce(result_file,''), coalesce(result_sha256,''), error_code, error_message,"
    " error_remedy, submitted_ms, coalesce(started_ms,0), coalesce(finished_ms,0),"
    " not_before_ms, coalesce(deadline_ms,0), attempts_max, blockers, coalesce(evidence,''), seq,"
    " device_hint, shortage, stays, answered, coalesce((SELECT id FROM jobs AS whole"
    " WHERE whole.seq = jobs.parent),''), coalesce(part,'') FROM jobs ";

namespace {

constexpr int kSeqColumn = 21;

WallTime wall(int64_t ms) { return WallTime(Millis(ms)); }

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::string waits_for(const Job& job, int64_t blockers) {
  if (job.state != JobState::kWaiting) return {};
  if (blockers > 0) return fmt::format("{} {}", blockers, blockers == 1 ? "job" : "jobs");
  return format_time(job.spec.not_before);
}

Result<std::vector<std::string>> read_needs(const Database& database, int64_t seq) {
  std::vector<std::string> ids;
  Statement row = database.prepare(
      "SELECT id FROM job_needs JOIN jobs ON seq = needs WHERE job=? ORDER BY seq",
      "read what a job depends on");
  row.bind(seq);
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return ids;
    ids.push_back(row.text(0));
  }
}

}  // namespace

int64_t millis(WallTime time) { return time.time_since_epoch().count(); }

int64_t seq_of(const Statement& query) { return query.integer(kSeqColumn); }

Job read_job(const Statement& row) {
  Job job;
  job.id = row.text(0);
  job.spec.kind = row.text(1);
  job.spec.params = row.text(2);
  job.spec.priority = static_cast<int>(row.integer(3));
  job.spec.idempotency_key = row.text(4);
  job.state = parse_job_state(row.text(5)).value_or(JobState::kFailed);
  job.attempts = static_cast<uint32_t>(row.integer(6));
  job.device = row.text(7);
  job.result_file = row.text(8);
  job.result_sha256 = row.text(9);
  if (!row.is_null(10)) job.error = Error{parse_code(row.text(10)), row.text(11), row.text(12)};
  job.submitted = wall(row.integer(13));
  job.started = wall(row.integer(14));
  job.finished = wall(row.integer(15));
  job.spec.not_before = wall(row.integer(16));
  job.spec.deadline = wall(row.integer(17));
  job.spec.attempts_max = static_cast<uint32_t>(row.integer(18));
  job.waits_for = waits_for(job, row.integer(19));
  job.evidence = row.text(20);
  job.spec.device = row.text(22);
  job.spec.shortage = words_of(row.text(23));
  job.spec.stays = row.integer(24) != 0;
  job.answered = row.text(25);
  job.part_of = row.text(26);
  job.part = row.text(27);
  if (job.state == JobState::kDone) job.progress = 1;
  return job;
}

Result<std::vector<FileIdentity>> read_files(const Database& database, int64_t seq) {
  std::vector<FileIdentity> files;
  Statement row = database.prepare(
      "SELECT path, size, mtime_ns, inode, coalesce(sha256,'') FROM files WHERE job=?"
      " ORDER BY position",
      "read a job's files");
  row.bind(seq);
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return files;
    files.push_back({row.text(0), Bytes{static_cast<uint64_t>(row.integer(1))}, row.integer(2),
                     static_cast<uint64_t>(row.integer(3)), row.text(4)});
  }
}

void add_files(std::vector<FileIdentity> files, Job* job) {
  for (FileIdentity& file : files) {
    job->spec.files.push_back(std::move(file.path));
    job->input_sha256.push_back(std::move(file.sha256));
  }
}

Result<std::vector<Job>> read_jobs(const Database& database, Statement& query) {
  std::vector<Job> jobs;
  for (;;) {
    Result<bool> more = query.next();
    if (!more) return fail(more.error());
    if (!*more) return jobs;
    jobs.push_back(read_job(query));
    Result<std::vector<FileIdentity>> files = read_files(database, seq_of(query));
    if (!files) return fail(files.error());
    add_files(std::move(*files), &jobs.back());
    Result<std::vector<std::string>> needs = read_needs(database, seq_of(query));
    if (!needs) return fail(needs.error());
    jobs.back().spec.depends_on = std::move(*needs);
  }
}

}  // namespace gantry
