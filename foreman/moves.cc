// The store's moves: every way of a job from one state to another, and out of the table.
#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "foreman/database.h"
#include "foreman/job_rows.h"
#include "foreman/job_state.h"
#include "foreman/store_held.h"

namespace gantry {

namespace {

Error gone_error(const std::string& id) {
  return {Code::kConflict, "job " + id + " is no longer run under this claim"};
}

Error part_error(const std::string& id) {
  return {Code::kUsage, "job " + id + " is a part of another one and goes with it",
          fmt::format("`gantry show {}` names it as part_of", id)};
}

// A job as if it had not been tried, but for what it has done.
constexpr std::string_view kAnew =
    ", attempts=0, strikes=0, lost=0, finished_ms=NULL, swept=0, error_code=NULL,"
    " error_message=NULL, error_remedy=NULL, deadline_ms=NULL";

}  // namespace

// The row that is about to become `to`, checked against the transition table and the token.
Result<Store::Held> Store::hold(const std::string& id, std::optional<Token> token, JobState to) {
  Statement row =
      database_->prepare("SELECT seq, state, token, parent FROM jobs WHERE id=?", "read the job");
  Result<bool> found = row.bind(id).next();
  if (!found) return fail(found.error());
  if (!*found) return fail(Code::kNotFound, "there is no job " + id, "see `gantry jobs`");
  const std::optional<JobState> state = parse_job_state(row.text(1));
  if (!state) return fail(Code::kCorrupt, fmt::format("job {} is {}", id, row.text(1)));
  const Held held{row.integer(0), *state, row.integer(2), id, !row.is_null(3)};
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

// `also`: further assignments, each behind a comma.
Result<void> Store::move(const Held& held, JobState to, std::string_view also) {
  const std::string doing = "change the job's state";
  Result<void> moved =
      database_
          ->prepare(fmt::format("UPDATE jobs SET state=?{} WHERE seq=? AND state=? AND token=?",
                                also), doing)
          .bind(job_state_name(to)).bind(held.seq).bind(job_state_name(held.state))
          .bind(held.token).run();
  if (!moved) return moved;
  if (database_->changes() != 1) return fail(Code::kConflict, "job " + held.id + " has changed");
  return {};
}

// A quarantined job keeps its checkpoints: they are evidence, and what a retry goes on from.
Result<void> Store::end_alone(const Held& held, JobState to, const Error* error, WallTime now) {
  const std::string doing = "record the end of the job";
  if (Result<void> moved = move(held, to, ""); !moved) return moved;
  Statement row = database_->prepare(
      "UPDATE jobs SET finished_ms=?, error_code=?, error_message=?, error_remedy=? WHERE seq=?",
      doing);
  row.bind(millis(now));
  if (error == nullptr) {
    row.bind_null().bind_null().bind_null();
  } else {
    row.bind(code_name(error->code)).bind(error->message).bind(error->remedy);
  }
  if (Result<void> ended = row.bind(held.seq).run(); !ended) return ended;
  if (Result<void> parts = end_parts(held.seq, now); !parts) return parts;
  if (to == JobState::kQuarantined) return {};
  return database_->prepare("DELETE FROM checkpoints WHERE job=?", doing).bind(held.seq).run();
}

// With the whole ends what is left of it to be done.
Result<void> Store::end_parts(int64_t seq, WallTime now) {
  Result<std::vector<Held>> parts = parts_of(*database_, seq, "'queued','running'");
  if (!parts) return fail(parts.error());
  for (const Held& part : *parts) {
    Result<void> gone = end_alone(part, JobState::kCancelled, nullptr, now);
    if (!gone) return gone;
  }
  return {};
}

Result<std::optional<Store::Held>> Store::next_dependent(const Held& held) {
  Statement row = database_->prepare(
      "SELECT seq, token, id FROM job_needs JOIN jobs ON seq = job WHERE needs=? AND"
      " state='waiting' LIMIT 1", "look what depends on the job");
  Result<bool> more = row.bind(held.seq).next();
  if (!more) return fail(more.error());
  if (!*more) return std::nullopt;
  return Held{row.integer(0), JobState::kWaiting, row.integer(1), row.text(2)};
}

// And what waits for it, or for one of those: without a result to come they would wait for ever.
// One at a time, since a job may depend on several of them; and not one inside the other, since a
// chain may be as long as the queue.
Result<void> Store::end(const Held& held, JobState to, const Error* error, WallTime now) {
  if (Result<void> ended = end_alone(held, to, error, now); !ended) return ended;
  std::vector<std::pair<Held, JobState>> ended = {{held, to}};
  while (!ended.empty()) {
    const auto [cause, state] = ended.back();
    Result<std::optional<Held>> waits = next_dependent(cause);
    if (!waits) return fail(waits.error());
    if (!*waits) {
      ended.pop_back();
      continue;
    }
    const Error lost{
        Code::kUnavailable,
        fmt::format("it depends on job {}, which is {}", cause.id, job_state_name(state)),
        fmt::format("see `gantry show {}`; then `gantry retry` both", cause.id)};
    Result<void> done = end_alone(**waits, JobState::kFailed, &lost, now);
    if (!done) return done;
    ended.emplace_back(std::move(**waits), JobState::kFailed);
  }
  return {};
}

Result<void> Store::finish(const std::string& id, Token token, const std::string& result_file,
                           const std::string& sha256, WallTime now) {
  const std::string doing = "record the result";
  return write("finish", doing, [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kDone);
    if (!held) return fail(held.error());
    Result<void> ended =
        database_
            ->prepare("UPDATE jobs SET state='done', result_file=?, result_sha256=?, finished_ms=?,"
                      " error_code=NULL, error_message=NULL, error_remedy=NULL"
                      " WHERE seq=? AND state='running' AND token=?", doing)
            .bind(result_file).bind(sha256).bind(millis(now)).bind(held->seq).bind(token).run();
    if (!ended) return ended;
    if (database_->changes() != 1) return fail(gone_error(id));
    Result<void> unblocked =
        database_
            ->prepare("UPDATE jobs SET blockers=blockers-1 WHERE blockers>0 AND seq IN"
                      " (SELECT job FROM job_needs WHERE needs=?)", doing)
            .bind(held->seq).run();
    if (!unblocked) return unblocked;
    if (Result<void> parts = end_parts(held->seq, now); !parts) return parts;
    return database_->prepare("DELETE FROM checkpoints WHERE job=?", doing).bind(held->seq).run();
  });
}

Result<void> Store::fail_job(const std::string& id, Token token, const Error& error,
                             WallTime now) {
  return write("fail", "record the failure", [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kFailed);
    if (!held) return fail(held.error());
    return end(*held, JobState::kFailed, &error, now);
  });
}

Result<JobState> Store::retry_held(const Held& held, const Error& error, bool daemon_ended,
                                   WallTime now) {
  const std::string doing = "put the job back in line";
  const std::string counter = daemon_ended ? "lost" : "strikes";
  Statement look = database_->prepare(
      "SELECT " + counter + ", EXISTS(SELECT 1 FROM checkpoints WHERE job=?1 AND token=?2) OR"
      " EXISTS(SELECT 1 FROM jobs AS part WHERE part.parent=?1 AND part.state='done' AND"
      " part.token > ?2), attempts_max > 0 AND attempts >= attempts_max FROM jobs WHERE seq=?1",
      doing);
  if (Result<bool> row = look.bind(held.seq).bind(held.token).next(); !row) {
    return fail(row.error());
  }
  const bool progressed = look.integer(1) != 0;
  const bool used_up = look.integer(2) != 0;
  const int64_t strikes = progressed ? 1 : look.integer(0) + 1;
  const bool too_many = strikes >= int64_t{daemon_ended ? kJobLostMax : kJobAttemptsMax};
  if (too_many || used_up) {
    const bool poisoned = too_many && !daemon_ended && error.code == Code::kWorkerFailed;
    const JobState to = poisoned ? JobState::kQuarantined : JobState::kFailed;
    Error last = error;
    last.message += too_many ? fmt::format("; given up after {} attempts in a row without progress",
                                           strikes)
                             : "; it was to be attempted no more often";
    if (Result<void> ended = end(held, to, &last, now); !ended) return fail(ended.error());
    return to;
  }
  if (Result<void> back = move(held, JobState::kQueued, ""); !back) return fail(back.error());
  Result<void> noted =
      database_
          ->prepare("UPDATE jobs SET " + counter + "=?, error_code=?, error_message=?,"
                    " error_remedy=? WHERE seq=?", doing)
          .bind(strikes).bind(code_name(error.code)).bind(error.message).bind(error.remedy)
          .bind(held.seq).run();
  if (!noted) return fail(noted.error());
  return JobState::kQueued;
}

Result<JobState> Store::retry(const std::string& id, Token token, const Error& error,
                              const std::string& evidence, WallTime now) {
  const std::string doing = "put the job back in line";
  JobState became = JobState::kQueued;
  Result<void> done = write("retry", doing, [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kQueued);
    if (!held) return fail(held.error());
    Result<JobState> state = retry_held(*held, error, false, now);
    if (!state) return fail(state.error());
    became = *state;
    if (evidence.empty()) return {};
    return database_
        ->prepare("UPDATE jobs SET evidence=json_insert(CASE WHEN evidence IS NULL OR"
                  " json_array_length(evidence) >= ?2 THEN '[]' ELSE evidence END, '$[#]',"
                  " json(?1)) WHERE seq=?3", doing)
        .bind(evidence).bind(int64_t{kJobEvidenceMax}).bind(held->seq).run();
  });
  if (!done) return fail(done.error());
  return became;
}

Result<void> Store::unclaim(const std::string& id, Token token) {
  return write("unclaim", "put the job back in line", [&]() -> Result<void> {
    Result<Held> held = hold(id, token, JobState::kQueued);
    if (!held) return fail(held.error());
    return move(*held, JobState::kQueued, ", attempts=attempts-1");
  });
}

Result<Job> Store::cancel(const std::string& id, WallTime now) {
  Result<Job> cancelled;
  Result<void> done = write("cancel", "cancel the job", [&]() -> Result<void> {
    Result<Held> held = hold(id, std::nullopt, JobState::kCancelled);
    if (!held) return fail(held.error());
    if (held->part) return fail(part_error(id));
    if (Result<void> ended = end(*held, JobState::kCancelled, nullptr, now); !ended) return ended;
    cancelled = row_of(id);
    return cancelled ? Result<void>{} : fail(cancelled.error());
  });
  if (!done) return fail(done.error());
  return cancelled;
}

Result<JobState> Store::pause(const std::string& id) {
  JobState was = JobState::kQueued;
  Result<void> done = write("pause", "pause the job", [&]() -> Result<void> {
    Result<Held> held = hold(id, std::nullopt, JobState::kPaused);
    if (!held) return fail(held.error());
    if (held->part) return fail(part_error(id));
    was = held->state;
    // The attempt that is broken off does not count against it.
    return move(*held, JobState::kPaused,
                was == JobState::kRunning ? ", attempts=attempts-1" : "");
  });
  if (!done) return fail(done.error());
  return was;
}

Result<JobState> Store::resume(const std::string& id, WallTime now) {
  JobState was = JobState::kPaused;
  Result<void> done = write("resume", "resume the job", [&]() -> Result<void> {
    Result<Held> held = hold(id, std::nullopt, JobState::kWaiting);
    if (!held) return fail(held.error());
    if (held->state != JobState::kPaused) {
      return fail(Code::kConflict, fmt::format("job {} is {}, not paused", id,
                                               job_state_name(held->state)));
    }
    if (Result<void> moved = move(*held, JobState::kWaiting, ""); !moved) return moved;
    if (Result<void> counted = count_blockers(held->seq); !counted) return counted;
    return promote(now);
  });
  if (!done) return fail(done.error());
  return was;
}

Result<JobState> Store::revive(const std::string& id, WallTime now) {
  JobState was = JobState::kFailed;
  Result<void> done = write("revive", "try the job again", [&]() -> Result<void> {
    Result<Held> held = hold(id, std::nullopt, JobState::kWaiting);
    if (!held) return fail(held.error());
    if (held->part) return fail(part_error(id));
    was = held->state;
    if (!is_final(was)) {
      return fail(Code::kConflict, fmt::format("job {} is {} and has not ended", id,
                                               job_state_name(was)));
    }
    Result<void> moved = move(*held, JobState::kWaiting, kAnew);
    if (!moved) return moved;
    Result<std::vector<Held>> parts =
        parts_of(*database_, held->seq, "'failed','cancelled','quarantined'");
    if (!parts) return fail(parts.error());
    for (Held& part : *parts) {
      moved = move(part, JobState::kWaiting, kAnew);
      part.state = JobState::kWaiting;
      if (moved) moved = move(part, JobState::kQueued, "");
      if (!moved) return moved;
    }
    if (Result<void> counted = count_blockers(held->seq); !counted) return counted;
    return promote(now);
  });
  if (!done) return fail(done.error());
  return was;
}

Result<void> Store::set_device(const std::string& id, Token token, const std::string& device,
                               const std::string& answered) {
  return write("device", "record the job's device", [&]() -> Result<void> {
    Result<void> set = database_
                           ->prepare("UPDATE jobs SET device=?, answered=? WHERE id=?"
                                     " AND state='running' AND token=?", "record the job's device")
                           .bind(device).bind(answered).bind(id).bind(token).run();
    if (set && database_->changes() != 1) return fail(gone_error(id));
    return set;
  });
}

Result<void> Store::add_checkpoint(const std::string& id, Token token,
                                   const Checkpoint& checkpoint) {
  return write("checkpoint", "record a checkpoint", [&]() -> Result<void> {
    Result<void> added =
        database_
            ->prepare("INSERT INTO checkpoints(job, step, file, sha256, token)"
                      " SELECT seq, ?, ?, ?, ?4 FROM jobs WHERE id=?5 AND state='running'"
                      " AND token=?4 ON CONFLICT(job, step) DO UPDATE SET file=excluded.file,"
                      " sha256=excluded.sha256, token=excluded.token", "record a checkpoint")
            .bind(checkpoint.step).bind(checkpoint.file).bind(checkpoint.sha256).bind(token)
            .bind(id).run();
    if (added && database_->changes() != 1) return fail(gone_error(id));
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
  std::vector<Job> jobs;
  const Error lost{Code::kUnavailable, "the daemon ended while this job ran",
                   "see the daemon's log; submit it again if it is sound"};
  Result<void> done = write("recover", "recover the running jobs", [&]() -> Result<void> {
    jobs.clear();
    // Parts afterwards: they end with a whole that is given up.
    for (const char* which : {"parent IS NULL", "parent IS NOT NULL"}) {
      Statement query = database_->prepare(
          fmt::format("{} WHERE state='running' AND {}", kSelectJobs, which), "find them");
      Result<std::vector<Job>> running = read_jobs(*database_, query);
      if (!running) return fail(running.error());
      for (Job& job : *running) {
        Result<Held> held = hold(job.id, std::nullopt, JobState::kQueued);
        if (!held) return fail(held.error());
        Result<JobState> became = retry_held(*held, lost, true, now);
        if (!became) return fail(became.error());
        job.state = *became;
        jobs.push_back(std::move(job));
      }
    }
    return {};
  });
  if (!done) return fail(done.error());
  return jobs;
}

Result<std::vector<Job>> Store::unswept() {
  const std::lock_guard lock(mutex_);
  Statement query = database_->prepare(
      fmt::format("{} WHERE swept=0 AND state IN ('done','failed','cancelled') LIMIT 1000",
                  kSelectJobs),
      "find what is left to clean");
  return read_jobs(*database_, query);
}

Result<void> Store::mark_swept(const std::string& id) {
  return write("sweep", "record a cleaned folder", [&] {
    return database_->prepare("UPDATE jobs SET swept=1 WHERE id=?", "record a cleaned folder")
        .bind(id).run();
  });
}

// What has been claimed has a folder, which is swept once its executor has left it.
// A job that has not been done and that another one needs is kept with it: tried again, that one
// would not wait for it. One that was done is kept as long as somebody may look at why he waits.
Result<std::vector<std::pair<int64_t, Pruned>>> Store::prunable(const PruneRule& rule,
                                                                uint32_t limit) {
  const std::string doing = "find jobs to prune";
  uint64_t most = limit;
  if (rule.keep) {
    Statement row = database_->prepare(
        "SELECT sum(jobs) - (SELECT count(*) FROM jobs WHERE parent IS NOT NULL AND"
        " state IN ('done','failed','cancelled')) FROM tallies WHERE"
        " state IN ('done','failed','cancelled')", doing);
    if (Result<bool> there = row.next(); !there) return fail(there.error());
    const auto ended = static_cast<uint64_t>(row.integer(0));
    most = std::min(most, ended - std::min(ended, *rule.keep));
  }
  std::vector<std::pair<int64_t, Pruned>> found;
  Statement query = database_->prepare(
      "SELECT seq, id FROM jobs WHERE parent IS NULL AND"
      " state IN ('done','failed','cancelled') AND (swept = 1 OR token = 0) AND"
      " finished_ms < ?1 AND (?2 = '' OR state = ?2) AND NOT EXISTS"
      "(SELECT 1 FROM job_needs JOIN jobs AS later ON later.seq = job_needs.job WHERE"
      " job_needs.needs = jobs.seq AND (later.state IN ('waiting','queued','running','paused') OR"
      " (jobs.state <> 'done' AND later.state <> 'done'))) ORDER BY finished_ms, seq LIMIT ?3",
      doing);
  query.bind(rule.before ? millis(*rule.before) : INT64_MAX);
  query.bind(rule.state ? job_state_name(*rule.state) : std::string_view());
  query.bind(static_cast<int64_t>(most));
  for (;;) {
    Result<bool> more = query.next();
    if (!more) return fail(more.error());
    if (!*more) return found;
    Result<std::vector<FileIdentity>> files = read_files(*database_, query.integer(0));
    if (!files) return fail(files.error());
    Job job;
    add_files(std::move(*files), &job);
    Result<std::vector<Held>> parts = parts_of(*database_, query.integer(0), "");
    if (!parts) return fail(parts.error());
    for (Held& part : *parts) found.push_back({part.seq, {std::move(part.id), {}}});
    found.push_back({query.integer(0), {query.text(1), std::move(job.input_sha256)}});
  }
}

Result<void> Store::remove_rows(int64_t seq, const std::string& id) {
  const std::string doing = "prune a job";
  for (const char* sql : {"DELETE FROM files WHERE job=?1", "DELETE FROM checkpoints WHERE job=?1",
                          "DELETE FROM job_needs WHERE needs=?1",
                          "DELETE FROM job_needs WHERE job=?1", "DELETE FROM jobs WHERE seq=?1"}) {
    Result<void> gone = database_->prepare(sql, doing).bind(seq).run();
    if (!gone) return gone;
  }
  return database_->prepare("INSERT INTO pruned(id) VALUES(?)", doing).bind(id).run();
}

Result<std::vector<Pruned>> Store::prune(const PruneRule& rule, uint32_t limit, bool dry) {
  std::vector<Pruned> pruned;
  const auto body = [&]() -> Result<void> {
    pruned.clear();
    Result<std::vector<std::pair<int64_t, Pruned>>> found = prunable(rule, limit);
    if (!found) return fail(found.error());
    for (auto& [seq, job] : *found) {
      if (Result<void> gone = dry ? Result<void>() : remove_rows(seq, job.id); !gone) return gone;
      pruned.push_back(std::move(job));
    }
    return {};
  };
  Result<void> done;
  if (dry) {
    const std::lock_guard lock(mutex_);
    done = body();
  } else {
    done = write("prune", "prune jobs", body);
  }
  if (!done) return fail(done.error());
  return pruned;
}

Result<std::vector<std::string>> Store::unremoved() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  Statement row = database_->prepare("SELECT id FROM pruned", "find folders of pruned jobs");
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return ids;
    ids.push_back(row.text(0));
  }
}

Result<void> Store::forget_removed(const std::vector<std::string>& ids) {
  return write("forget", "forget pruned jobs", [&]() -> Result<void> {
    for (const std::string& id : ids) {
      Result<void> gone =
          database_->prepare("DELETE FROM pruned WHERE id=?", "forget a pruned job").bind(id).run();
      if (!gone) return gone;
    }
    return {};
  });
}

}  // namespace gantry
