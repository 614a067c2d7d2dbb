// The job table on SQLite.
#include "foreman/store.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "foreman/database.h"
#include "foreman/job_state.h"
#include "foreman/schema.h"

namespace gantry {

namespace {

constexpr std::string_view kJobColumns =
    "SELECT id, kind, params, priority, coalesce(idempotency_key,''), state, attempts, device,"
    " coalesce(result_file,''), coalesce(result_sha256,''), error_code, error_message,"
    " error_remedy, submitted_ms, coalesce(started_ms,0), coalesce(finished_ms,0), seq"
    " FROM jobs ";
constexpr int kSeqColumn = 16;

int64_t millis(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(int64_t ms) { return WallTime(Millis(ms)); }

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
  if (job.state == JobState::kDone) job.progress = 1;
  return job;
}

Result<std::vector<FileIdentity>> read_files(const Database& database, int64_t seq) {
  std::vector<FileIdentity> files;
  Statement row = database.prepare(
      "SELECT path, size, mtime_ns, inode FROM files WHERE job=? ORDER BY position",
      "read a job's files");
  row.bind(seq);
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return files;
    files.push_back({row.text(0), Bytes{static_cast<uint64_t>(row.integer(1))}, row.integer(2),
                     static_cast<uint64_t>(row.integer(3))});
  }
}

// Jobs of a query over kJobColumns, with their files.
Result<std::vector<Job>> read_jobs(const Database& database, Statement& query) {
  std::vector<Job> jobs;
  for (;;) {
    Result<bool> more = query.next();
    if (!more) return fail(more.error());
    if (!*more) return jobs;
    jobs.push_back(read_job(query));
    Result<std::vector<FileIdentity>> files = read_files(database, query.integer(kSeqColumn));
    if (!files) return fail(files.error());
    for (FileIdentity& file : *files) jobs.back().spec.files.push_back(std::move(file.path));
  }
}

}  // namespace

struct Store::Held {
  int64_t seq = 0;
  JobState state = JobState::kQueued;
  Token token = 0;
  std::string id;
};

Store::Store(std::unique_ptr<Database> database, StoreOptions options)
    : database_(std::move(database)), options_(std::move(options)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path, StoreOptions options) {
  Result<std::unique_ptr<Database>> database =
      Database::open(path, {job_schema(), options.pages_max});
  if (!database) return fail(database.error());
  std::unique_ptr<Store> store(new Store(std::move(*database), std::move(options)));
  if (Result<void> raised = store->raise_epoch(); !raised) return fail(raised.error());
  return store;
}

Result<void> Store::write(std::string_view step, const std::string& doing,
                          const std::function<Result<void>()>& body) {
  if (options_.on_step) options_.on_step(fmt::format("{} before", step));
  Result<void> done = database_->transact(doing, body);
  if (done && options_.on_step) options_.on_step(fmt::format("{} after", step));
  return done;
}

Result<void> Store::raise_epoch() {
  const std::string doing = "start a new token epoch";
  Result<void> raised = write("epoch", doing, [&]() -> Result<void> {
    Statement next = database_->prepare(
        "UPDATE meta SET value = value + 1 WHERE key = 'token_epoch' RETURNING value", doing);
    Result<bool> row = next.next();
    if (!row) return fail(row.error());
    if (!*row) return fail(Code::kCorrupt, "the job database has no token epoch");
    epoch_ = next.integer(0);
    return next.run();
  });
  if (!raised) return raised;
  Statement count = database_->prepare(
      "SELECT (SELECT count(*) FROM jobs WHERE state='queued') +"
      " (SELECT count(*) FROM jobs WHERE state='running')",
      "count the jobs");
  if (Result<bool> row = count.next(); !row) return fail(row.error());
  unfinished_ = static_cast<uint64_t>(count.integer(0));
  return {};
}

Token Store::next_token() {
  const std::lock_guard lock(mutex_);
  return epoch_ << 32 | ++tokens_;
}

Result<std::string> Store::add(const std::string& id, const JobSpec& spec,
                               const std::vector<FileIdentity>& files, WallTime now) {
  const std::lock_guard lock(mutex_);
  const std::string doing = "store the job";
  if (!spec.idempotency_key.empty()) {
    Statement known = database_->prepare("SELECT id FROM jobs WHERE idempotency_key=?", doing);
    Result<bool> row = known.bind(spec.idempotency_key).next();
    if (!row) return fail(row.error());
    if (*row) return known.text(0);
  }
  if (unfinished_ >= kJobsUnfinishedMax) {
    return fail(Code::kBusy, fmt::format("the queue holds {} unfinished jobs", unfinished_),
                "wait for some to end, or cancel some");
  }
  Result<void> done = write("add", doing, [&]() -> Result<void> {
    Statement row = database_->prepare(
        "INSERT INTO jobs(id, kind, params, priority, idempotency_key, state, submitted_ms)"
        " VALUES(?,?,?,?,?,'queued',?)",
        doing);
    row.bind(id).bind(spec.kind).bind(spec.params).bind(spec.priority);
    if (spec.idempotency_key.empty()) {
      row.bind_null();
    } else {
      row.bind(spec.idempotency_key);
    }
    if (Result<void> added = row.bind(millis(now)).run(); !added) return added;
    const int64_t seq = database_->last_rowid();
    int64_t position = 0;
    for (const FileIdentity& file : files) {
      Result<void> added =
          database_
              ->prepare("INSERT INTO files(job,position,path,size,mtime_ns,inode)"
                        " VALUES(?,?,?,?,?,?)", doing)
              .bind(seq).bind(position++).bind(file.path).bind(static_cast<int64_t>(file.size.n))
              .bind(file.mtime_ns).bind(static_cast<int64_t>(file.inode)).run();
      if (!added) return added;
    }
    return {};
  });
  if (!done) return fail(done.error());
  ++unfinished_;
  return id;
}

Result<Job> Store::job(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Statement query =
      database_->prepare(fmt::format("{} WHERE id=?", kJobColumns), "read the job");
  query.bind(id);
  Result<std::vector<Job>> found = read_jobs(*database_, query);
  if (!found) return fail(found.error());
  if (found->empty()) return fail(Code::kNotFound, "there is no job " + id, "see `gantry jobs`");
  return std::move(found->front());
}

Result<std::vector<Job>> Store::jobs(uint32_t limit) {
  const std::lock_guard lock(mutex_);
  Statement query = database_->prepare(fmt::format("{} ORDER BY seq DESC LIMIT ?", kJobColumns),
                                       "list the jobs");
  query.bind(limit);
  return read_jobs(*database_, query);
}

uint64_t Store::unfinished() {
  const std::lock_guard lock(mutex_);
  return unfinished_;
}

Result<std::optional<Claim>> Store::claim(WallTime now) {
  const Token token = next_token();
  const std::lock_guard lock(mutex_);
  const std::string doing = "claim a job";
  {
    // Looking costs no write: idle threads do it often.
    Statement any = database_->prepare("SELECT 1 FROM jobs WHERE state='queued' LIMIT 1", doing);
    Result<bool> row = any.next();
    if (!row) return fail(row.error());
    if (!*row) return std::nullopt;
  }
  Claim claim;
  claim.token = token;
  Result<void> done = write("claim", doing, [&]() -> Result<void> {
    Statement pick = database_->prepare(
        fmt::format("{} WHERE state='queued' ORDER BY priority DESC, seq LIMIT 1", kJobColumns),
        doing);
    Result<bool> row = pick.next();
    if (!row) return fail(row.error());
    claim.job = read_job(pick);
    const int64_t seq = pick.integer(kSeqColumn);
    if (!may_become(claim.job.state, JobState::kRunning)) {
      return fail(Code::kInternal, "job " + claim.job.id + " cannot be claimed");
    }
    claim.job.state = JobState::kRunning;
    claim.job.attempts += 1;
    claim.job.started = now;
    Result<std::vector<FileIdentity>> files = read_files(*database_, seq);
    if (!files) return fail(files.error());
    claim.files = std::move(*files);
    return database_
        ->prepare("UPDATE jobs SET state='running', attempts=attempts+1, token=?, started_ms=?"
                  " WHERE seq=? AND state='queued'", doing)
        .bind(token).bind(millis(now)).bind(seq).run();
  });
  if (!done) return fail(done.error());
  for (const FileIdentity& file : claim.files) claim.job.spec.files.push_back(file.path);
  return claim;
}

// The row that is about to become `to`, checked against the transition table and the token.
Result<Store::Held> Store::hold(const std::string& id, std::optional<Token> token, JobState to) {
  Statement row =
      database_->prepare("SELECT seq, state, token FROM jobs WHERE id=?", "read the job");
  Result<bool> found = row.bind(id).next();
  if (!found) return fail(found.error());
  if (!*found) return fail(Code::kNotFound, "there is no job " + id, "see `gantry jobs`");
  const std::optional<JobState> state = parse_job_state(row.text(1));
  if (!state) return fail(Code::kCorrupt, fmt::format("job {} is {}", id, row.text(1)));
  const Held held{row.integer(0), *state, row.integer(2), id};
  if (token && (held.state != JobState::kRunning || held.token != *token)) {
    return fail(Code::kConflict, fmt::format("job {} is no longer run under this claim (it is {})",
                                             id, job_state_name(held.state)));
  }
  if (!may_become(held.state, to)) {
    return fail(Code::kConflict, fmt::format("job {} is {} and cannot become {}", id,
                                             job_state_name(held.state), job_state_name(to)));
  }
  return held;
}

// Moves a held job; its checkpoints are of no use once it has ended.
Result<void> Store::end(const Held& held, JobState to, const Error* error, WallTime now) {
  const std::string doing = "record the end of the job";
  Statement row = database_->prepare(
      "UPDATE jobs SET state=?, finished_ms=?, error_code=?, error_message=?, error_remedy=?"
      " WHERE seq=? AND state=? AND token=?", doing);
  row.bind(job_state_name(to)).bind(millis(now));
  if (error == nullptr) {
    row.bind_null().bind_null().bind_null();
  } else {
    row.bind(code_name(error->code)).bind(error->message).bind(error->remedy);
  }
  row.bind(held.seq).bind(job_state_name(held.state)).bind(held.token);
  if (Result<void> ended = row.run(); !ended) return ended;
  if (database_->changes() != 1) return fail(Code::kConflict, "job " + held.id + " has changed");
  return database_->prepare("DELETE FROM checkpoints WHERE job=?", doing).bind(held.seq).run();
}

Result<void> Store::finish(const std::string& id, Token token, const std::string& result_file,
                           const std::string& sha256, WallTime now) {
  const std::lock_guard lock(mutex_);
  const std::string doing = "record the result";
  Result<void> done = write("finish", doing, [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kDone);
    if (!held) return fail(held.error());
    Result<void> ended =
        database_
            ->prepare("UPDATE jobs SET state='done', result_file=?, result_sha256=?, finished_ms=?"
                      " WHERE seq=? AND state='running' AND token=?", doing)
            .bind(result_file).bind(sha256).bind(millis(now)).bind(held->seq).bind(token).run();
    if (!ended) return ended;
    if (database_->changes() != 1) return fail(Code::kConflict, "job " + id + " has changed");
    return database_->prepare("DELETE FROM checkpoints WHERE job=?", doing).bind(held->seq).run();
  });
  if (done) --unfinished_;
  return done;
}

Result<void> Store::fail_job(const std::string& id, Token token, const Error& error,
                             WallTime now) {
  const std::lock_guard lock(mutex_);
  Result<void> done = write("fail", "record the failure", [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kFailed);
    if (!held) return fail(held.error());
    return end(*held, JobState::kFailed, &error, now);
  });
  if (done) --unfinished_;
  return done;
}

Result<JobState> Store::retry_held(const Held& held, const Error& error, bool daemon_ended,
                                   WallTime now) {
  const std::string doing = "put the job back in line";
  const std::string counter = daemon_ended ? "lost" : "strikes";
  Statement look = database_->prepare(
      "SELECT " + counter + ", EXISTS(SELECT 1 FROM checkpoints WHERE job=?1 AND token=?2)"
      " FROM jobs WHERE seq=?1", doing);
  if (Result<bool> row = look.bind(held.seq).bind(held.token).next(); !row) {
    return fail(row.error());
  }
  const bool progressed = look.integer(1) != 0;
  const int64_t strikes = progressed ? 1 : look.integer(0) + 1;
  if (strikes >= int64_t{daemon_ended ? kJobLostMax : kJobAttemptsMax}) {
    Error final_error = error;
    final_error.message += fmt::format("; given up after {} attempts in a row without progress",
                                       strikes);
    if (Result<void> ended = end(held, JobState::kFailed, &final_error, now); !ended) {
      return fail(ended.error());
    }
    return JobState::kFailed;
  }
  Result<void> back =
      database_
          ->prepare("UPDATE jobs SET state='queued', " + counter + "=?, error_code=?,"
                    " error_message=?, error_remedy=? WHERE seq=? AND state='running'"
                    " AND token=?", doing)
          .bind(strikes).bind(code_name(error.code)).bind(error.message).bind(error.remedy)
          .bind(held.seq).bind(held.token).run();
  if (!back) return fail(back.error());
  return JobState::kQueued;
}

Result<JobState> Store::retry(const std::string& id, Token token, const Error& error,
                              WallTime now) {
  const std::lock_guard lock(mutex_);
  JobState became = JobState::kQueued;
  Result<void> done = write("retry", "put the job back in line", [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kQueued);
    if (!held) return fail(held.error());
    Result<JobState> state = retry_held(*held, error, false, now);
    if (!state) return fail(state.error());
    became = *state;
    return {};
  });
  if (!done) return fail(done.error());
  if (became == JobState::kFailed) --unfinished_;
  return became;
}

Result<void> Store::unclaim(const std::string& id, Token token) {
  const std::lock_guard lock(mutex_);
  const std::string doing = "put the job back in line";
  return write("unclaim", doing, [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kQueued);
    if (!held) return fail(held.error());
    return database_
        ->prepare("UPDATE jobs SET state='queued', attempts=attempts-1"
                  " WHERE seq=? AND state='running' AND token=?", doing)
        .bind(held->seq).bind(token).run();
  });
}

Result<JobState> Store::cancel(const std::string& id, WallTime now) {
  const std::lock_guard lock(mutex_);
  JobState was = JobState::kQueued;
  Result<void> done = write("cancel", "cancel the job", [&]() -> Result<void> {
    Result<Held> held = hold(id, std::nullopt, JobState::kCancelled);
    if (!held) return fail(held.error());
    was = held->state;
    return end(*held, JobState::kCancelled, nullptr, now);
  });
  if (!done) return fail(done.error());
  --unfinished_;
  return was;
}

Result<void> Store::set_device(const std::string& id, Token token, const std::string& device) {
  const std::lock_guard lock(mutex_);
  return write("device", "record the job's device", [&]() -> Result<void> {
    Result<void> set = database_
                           ->prepare("UPDATE jobs SET device=? WHERE id=? AND state='running'"
                                     " AND token=?", "record the job's device")
                           .bind(device).bind(id).bind(token).run();
    if (set && database_->changes() != 1) {
      return fail(Code::kConflict, "job " + id + " is no longer run under this claim");
    }
    return set;
  });
}

Result<void> Store::add_checkpoint(const std::string& id, Token token,
                                   const Checkpoint& checkpoint) {
  const std::lock_guard lock(mutex_);
  return write("checkpoint", "record a checkpoint", [&]() -> Result<void> {
    Result<void> added =
        database_
            ->prepare("INSERT INTO checkpoints(job, step, file, sha256, token)"
                      " SELECT seq, ?, ?, ?, ?4 FROM jobs WHERE id=?5 AND state='running'"
                      " AND token=?4 ON CONFLICT(job, step) DO UPDATE SET file=excluded.file,"
                      " sha256=excluded.sha256, token=excluded.token", "record a checkpoint")
            .bind(checkpoint.step).bind(checkpoint.file).bind(checkpoint.sha256).bind(token)
            .bind(id).run();
    if (added && database_->changes() != 1) {
      return fail(Code::kConflict, "job " + id + " is no longer run under this claim");
    }
    return added;
  });
}

Result<std::vector<Checkpoint>> Store::checkpoints(const std::string& id) {
  const std::lock_guard lock(mutex_);
  std::vector<Checkpoint> found;
  Statement row = database_->prepare(
      "SELECT step, file, c.sha256 FROM checkpoints c JOIN jobs ON job = seq WHERE id=?",
      "read the checkpoints");
  row.bind(id);
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return found;
    found.push_back({row.text(0), row.text(1), row.text(2)});
  }
}

Result<std::vector<Job>> Store::recover(WallTime now) {
  const std::lock_guard lock(mutex_);
  std::vector<Job> jobs;
  Result<void> done = write("recover", "recover the running jobs", [&]() -> Result<void> {
    Statement query =
        database_->prepare(fmt::format("{} WHERE state='running'", kJobColumns), "find them");
    Result<std::vector<Job>> running = read_jobs(*database_, query);
    if (!running) return fail(running.error());
    const Error lost{Code::kUnavailable, "the daemon ended while this job ran",
                     "see the daemon's log; submit it again if it is sound"};
    for (Job& job : *running) {
      Result<Held> held = hold(job.id, std::nullopt, JobState::kQueued);
      if (!held) return fail(held.error());
      Result<JobState> became = retry_held(*held, lost, true, now);
      if (!became) return fail(became.error());
      job.state = *became;
    }
    jobs = std::move(*running);
    return {};
  });
  if (!done) return fail(done.error());
  for (const Job& job : jobs) unfinished_ -= job.state == JobState::kFailed ? 1 : 0;
  return jobs;
}

Result<std::vector<Job>> Store::unswept() {
  const std::lock_guard lock(mutex_);
  Statement query = database_->prepare(
      fmt::format("{} WHERE swept=0 AND state IN ('done','failed','cancelled') LIMIT 1000",
                  kJobColumns),
      "find what is left to clean");
  return read_jobs(*database_, query);
}

Result<void> Store::mark_swept(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return write("sweep", "record a cleaned folder", [&] {
    return database_->prepare("UPDATE jobs SET swept=1 WHERE id=?", "record a cleaned folder")
        .bind(id).run();
  });
}

}  // namespace gantry
