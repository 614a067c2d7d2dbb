// The job table on SQLite: opening, the shared transaction, adding, reading, claiming.
#include "foreman/store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "foreman/database.h"
#include "foreman/job_rows.h"
#include "foreman/job_state.h"
#include "foreman/schema.h"
#include "foreman/store_held.h"

namespace gantry {

namespace {

// So many callers share one sync at most: a bound on what one of them waits for.
constexpr size_t kBatchMax = 256;

// 2020-01-01T00:00:00Z: epochs count minutes from here.
constexpr int64_t kEpochStart = 1'577'836'800'000;

}  // namespace

// One caller's part of a transaction.
struct Store::Order {
  std::string_view step;
  const std::string& doing;
  const std::function<Result<void>()>& body;
  Result<void> outcome;
  bool done = false;
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

// Whoever comes first commits for all that have come by then; the rest wait for that sync, and the
// next of them commits for those that came meanwhile.
Result<void> Store::write(std::string_view step, const std::string& doing,
                          const std::function<Result<void>()>& body) {
  Order order{step, doing, body, {}};
  std::unique_lock lock(orders_mutex_);
  orders_.push_back(&order);
  while (!order.done) {
    if (committing_) {
      ordered_.wait(lock);
      continue;
    }
    committing_ = true;
    const size_t count = std::min(orders_.size(), kBatchMax);
    const std::vector<Order*> batch(orders_.begin(), orders_.begin() + static_cast<long>(count));
    orders_.erase(orders_.begin(), orders_.begin() + static_cast<long>(count));
    lock.unlock();
    commit(batch);
    lock.lock();
    for (Order* each : batch) each->done = true;
    committing_ = false;
    ordered_.notify_all();
  }
  return std::move(order.outcome);
}

void Store::commit(const std::vector<Order*>& batch) {
  const std::lock_guard lock(mutex_);
  const auto tell = [this](std::string_view step, const char* when) {
    if (options_.on_step) options_.on_step(fmt::format("{} {}", step, when));
  };
  for (const Order* order : batch) tell(order->step, "before");
  if (batch.size() > 1) {
    const Result<void> together = database_->transact("write the queue", [&]() -> Result<void> {
      for (const Order* order : batch) {
        if (Result<void> done = order->body(); !done) return done;
      }
      return {};
    });
    if (together) {
      for (const Order* order : batch) tell(order->step, "after");
      return;
    }
  }
  // Alone, or one of them failed and took the others' changes back with it: each for itself.
  for (Order* order : batch) {
    order->outcome = database_->transact(order->doing, order->body);
    if (order->outcome) tell(order->step, "after");
  }
}

Result<void> Store::raise_epoch() {
  const std::string doing = "start a new token epoch";
  const int64_t minutes = (millis(options_.now) - kEpochStart) / 60'000;
  const int64_t least = std::max(minutes, (options_.above >> 32) + 1);
  Result<void> raised = write("epoch", doing, [&]() -> Result<void> {
    Statement next = database_->prepare(
        "UPDATE meta SET value = max(value + 1, ?) WHERE key = 'token_epoch' RETURNING value",
        doing);
    Result<bool> row = next.bind(least).next();
    if (!row) return fail(row.error());
    if (!*row) return fail(Code::kCorrupt, "the job database has no token epoch");
    epoch_ = next.integer(0);
    return next.run();
  });
  return raised;
}

Result<JobTally> Store::tally() {
  const std::lock_guard lock(mutex_);
  return count_locked();
}

Result<JobTally> Store::count_locked() {
  JobTally tally;
  Statement row = database_->prepare("SELECT state, jobs FROM tallies", "count the jobs");
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return tally;
    const std::optional<JobState> state = parse_job_state(row.text(0));
    if (state) tally.jobs.at(static_cast<size_t>(*state)) = static_cast<uint64_t>(row.integer(1));
  }
}

Result<std::string> Store::add(const std::string& id, const JobSpec& spec,
                               const std::vector<FileIdentity>& files, WallTime now) {
  const std::string doing = "store the job";
  std::string stored;
  const auto known = [&]() -> Result<bool> {
    if (spec.idempotency_key.empty()) return false;
    Statement row = database_->prepare("SELECT id FROM jobs WHERE idempotency_key=?", doing);
    Result<bool> found = row.bind(spec.idempotency_key).next();
    if (found && *found) stored = row.text(0);
    return found;
  };
  // Not looked at before: whoever waited for the lock here would miss the shared transaction.
  Result<void> done = write("add", doing, [&]() -> Result<void> {
    Result<bool> already = known();
    if (!already) return fail(already.error());
    if (*already) return {};
    stored = id;
    return insert(id, spec, files, now);
  });
  if (!done) return fail(done.error());
  return stored;
}

Result<void> Store::insert(const std::string& id, const JobSpec& spec,
                           const std::vector<FileIdentity>& files, WallTime now) {
  const std::string doing = "store the job";
  const Result<JobTally> tally = count_locked();
  if (!tally) return fail(tally.error());
  if (tally->unfinished() >= kJobsUnfinishedMax) {
    return fail(Code::kBusy, fmt::format("the queue holds {} unfinished jobs", tally->unfinished()),
                "wait for some to end, or cancel some");
  }
  const bool waits = spec.not_before > now || !spec.depends_on.empty();
  Statement row = database_->prepare(
      "INSERT INTO jobs(id, kind, params, priority, idempotency_key, state, submitted_ms,"
      " not_before_ms, deadline_ms, attempts_max, device_hint, shortage, stays)"
      " VALUES(?,?,?,?,nullif(?,''),?,?,?,nullif(?,0),?,?,?,?)",
      doing);
  row.bind(id).bind(spec.kind).bind(spec.params).bind(spec.priority).bind(spec.idempotency_key);
  row.bind(job_state_name(waits ? JobState::kWaiting : JobState::kQueued)).bind(millis(now));
  row.bind(millis(spec.not_before)).bind(millis(spec.deadline)).bind(spec.attempts_max);
  row.bind(spec.device).bind(fmt::format("{}", fmt::join(spec.shortage, ",")));
  row.bind(spec.stays ? 1 : 0);
  if (Result<void> added = row.run(); !added) return added;
  const int64_t seq = database_->last_rowid();
  int64_t position = 0;
  for (const FileIdentity& file : files) {
    Result<void> added =
        database_
            ->prepare("INSERT INTO files(job,position,path,size,mtime_ns,inode,sha256)"
                      " VALUES(?,?,?,?,?,?,nullif(?,''))", doing)
            .bind(seq).bind(position++).bind(file.path).bind(static_cast<int64_t>(file.size.n))
            .bind(file.mtime_ns).bind(static_cast<int64_t>(file.inode)).bind(file.sha256).run();
    if (!added) return added;
  }
  if (spec.depends_on.empty()) return {};
  return add_needs(seq, spec.depends_on);
}

Result<void> Store::add_needs(int64_t seq, const std::vector<std::string>& ids) {
  const std::string doing = "store what the job depends on";
  for (const std::string& id : ids) {
    Statement found = database_->prepare("SELECT seq FROM jobs WHERE id=?", doing);
    Result<bool> row = found.bind(id).next();
    if (!row) return fail(row.error());
    if (!*row) return fail(Code::kNotFound, "there is no job " + id, "see `gantry jobs`");
    Result<void> added =
        database_->prepare("INSERT OR IGNORE INTO job_needs(job, needs) VALUES(?,?)", doing)
            .bind(seq).bind(found.integer(0)).run();
    if (!added) return added;
  }
  return count_blockers(seq);
}

// How many of the jobs it depends on are still to be done; one that ended otherwise is an error.
Result<void> Store::count_blockers(int64_t seq) {
  const std::string doing = "look at what the job depends on";
  Statement lost = database_->prepare(
      "SELECT id, state FROM job_needs JOIN jobs ON seq = needs WHERE job=? AND"
      " state IN ('failed','cancelled','quarantined') LIMIT 1", doing);
  Result<bool> row = lost.bind(seq).next();
  if (!row) return fail(row.error());
  if (*row) {
    return fail(Code::kConflict,
                fmt::format("it depends on job {}, which is {}", lost.text(0), lost.text(1)),
                fmt::format("see `gantry show {0}`; `gantry retry {0}` tries it again",
                            lost.text(0)));
  }
  return database_
      ->prepare("UPDATE jobs SET blockers = (SELECT count(*) FROM job_needs JOIN jobs AS other ON"
                " other.seq = needs WHERE job=?1 AND other.state <> 'done') WHERE seq=?1", doing)
      .bind(seq).run();
}

Result<Job> Store::job(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return row_of(id);
}

Result<Job> Store::row_of(const std::string& id) {
  Statement query = database_->prepare(fmt::format("{} WHERE id=?", kSelectJobs), "read the job");
  query.bind(id);
  Result<std::vector<Job>> found = read_jobs(*database_, query);
  if (!found) return fail(found.error());
  if (found->empty()) return fail(Code::kNotFound, "there is no job " + id, "see `gantry jobs`");
  return std::move(found->front());
}

Result<std::vector<Job>> Store::jobs(const JobQuery& wanted) {
  const std::lock_guard lock(mutex_);
  std::string where = "WHERE 1";
  if (wanted.state) where += fmt::format(" AND state='{}'", job_state_name(*wanted.state));
  where += wanted.part_of.empty() ? " AND parent IS NULL"
                                  : " AND parent = (SELECT seq FROM jobs WHERE id=?)";
  if (!wanted.part.empty()) where += " AND part=?";
  if (!wanted.before.empty()) where += " AND seq < (SELECT seq FROM jobs WHERE id=?)";
  Statement query = database_->prepare(
      fmt::format("{} {} ORDER BY seq DESC LIMIT {}", kSelectJobs, where, wanted.limit),
      "list the jobs");
  if (!wanted.part_of.empty()) query.bind(wanted.part_of);
  if (!wanted.part.empty()) query.bind(wanted.part);
  if (!wanted.before.empty()) query.bind(wanted.before);
  return read_jobs(*database_, query);
}

Result<std::optional<WallTime>> Store::next_due() {
  const std::lock_guard lock(mutex_);
  Statement row = database_->prepare(
      "SELECT min(at) FROM (SELECT min(not_before_ms) AS at FROM jobs"
      " WHERE state = 'waiting' AND blockers = 0 UNION ALL SELECT min(deadline_ms) FROM jobs"
      " WHERE deadline_ms IS NOT NULL AND state IN ('waiting','queued'))",
      "look when the next job is due");
  if (Result<bool> found = row.next(); !found) return fail(found.error());
  if (row.is_null(0)) return std::nullopt;
  return WallTime(Millis(row.integer(0)));
}

// What waited for a time that has come, or for jobs that are done by now.
Result<void> Store::promote(WallTime now) {
  return database_
      ->prepare("UPDATE jobs SET state='queued' WHERE state = 'waiting' AND blockers = 0 AND"
                " not_before_ms <= ?", "put due jobs in line")
      .bind(millis(now)).run();
}

// One at a time: with one end those that depend on it, which may be late as well.
Result<void> Store::end_late(WallTime now) {
  const std::string doing = "end jobs that are past their deadline";
  const Error error{Code::kTimeout, "its deadline passed before it could run",
                    "give it a later one, or a higher priority"};
  for (;;) {
    Held late;
    {
      Statement row = database_->prepare(
          "SELECT seq, state, token, id FROM jobs WHERE deadline_ms IS NOT NULL AND"
          " state IN ('waiting','queued') AND deadline_ms < ? LIMIT 1", doing);
      Result<bool> more = row.bind(millis(now)).next();
      if (!more) return fail(more.error());
      if (!*more) return {};
      const std::optional<JobState> state = parse_job_state(row.text(1));
      late = {row.integer(0), state.value_or(JobState::kQueued), row.integer(2), row.text(3)};
    }
    if (Result<void> ended = end(late, JobState::kFailed, &error, now); !ended) return ended;
  }
}

Result<std::optional<Claim>> Store::claim(WallTime now) {
  const Token token = next_token();
  const std::string doing = "claim a job";
  {
    // Looking costs no write: idle threads do it often.
    const std::lock_guard lock(mutex_);
    Statement any = database_->prepare(
        "SELECT EXISTS(SELECT 1 FROM jobs WHERE state = 'queued' AND parent IS NULL) OR"
        " EXISTS(SELECT 1 FROM jobs WHERE state = 'waiting' AND blockers = 0 AND"
        " not_before_ms <= ?1) OR EXISTS(SELECT 1 FROM jobs WHERE deadline_ms IS NOT NULL AND"
        " state IN ('waiting','queued') AND deadline_ms < ?1)", doing);
    if (Result<bool> row = any.bind(millis(now)).next(); !row) return fail(row.error());
    if (any.integer(0) == 0) return std::nullopt;
  }
  std::optional<Claim> claim;
  Result<void> done = write("claim", doing, [&]() -> Result<void> {
    claim.reset();
    if (Result<void> late = end_late(now); !late) return late;
    if (Result<void> promoted = promote(now); !promoted) return promoted;
    int64_t seq = 0;
    Job job;
    {
      Statement pick = database_->prepare(
          fmt::format("{} WHERE state='queued' AND parent IS NULL ORDER BY priority DESC, seq"
                      " LIMIT 1", kSelectJobs), doing);
      Result<bool> row = pick.next();
      if (!row) return fail(row.error());
      if (!*row) return {};
      job = read_job(pick);
      seq = seq_of(pick);
    }
    if (!may_become(job.state, JobState::kRunning)) {
      return fail(Code::kInternal, "job " + job.id + " cannot be claimed");
    }
    job.state = JobState::kRunning;
    job.attempts += 1;
    job.started = now;
    Result<std::vector<FileIdentity>> files = read_files(*database_, seq);
    if (!files) return fail(files.error());
    add_files(*files, &job);
    claim = Claim{std::move(job), token, std::move(*files)};
    return begin_row(*database_, seq, token, now);
  });
  if (!done) return fail(done.error());
  return claim;
}

Result<void> begin_row(const Database& database, int64_t seq, Token token, WallTime now) {
  return database
      .prepare("UPDATE jobs SET state='running', attempts=attempts+1, token=?, started_ms=?"
               " WHERE seq=? AND state='queued'", "claim a job")
      .bind(token).bind(millis(now)).bind(seq).run();
}

// A failed or cancelled one may be tried again.
Result<bool> Store::needs_input(const std::string& sha256) {
  const std::lock_guard lock(mutex_);
  Statement row = database_->prepare(
      "SELECT EXISTS(SELECT 1 FROM files JOIN jobs ON seq = job WHERE sha256=? AND"
      " state <> 'done')", "look who needs an input");
  if (Result<bool> found = row.bind(sha256).next(); !found) return fail(found.error());
  return row.integer(0) != 0;
}

Result<void> Store::copy_to(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return database_->prepare("VACUUM INTO ?", "copy the job database").bind(path).run();
}

}  // namespace gantry
