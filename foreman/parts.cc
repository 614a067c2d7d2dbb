// Parts: jobs under a job. Its executor alone runs them, one claim inside the other.
#include <fmt/format.h>

#include "foreman/database.h"
#include "foreman/job_rows.h"
#include "foreman/job_state.h"
#include "foreman/store_held.h"

namespace gantry {

namespace {

constexpr const char* kDoing = "keep the parts of a job";

Result<std::optional<Job>> part_of(const Database& database, const std::string& whole,
                                   const std::string& name) {
  Statement query = database.prepare(
      fmt::format("{} WHERE parent = (SELECT seq FROM jobs WHERE id=?) AND part=?", kSelectJobs),
      kDoing);
  query.bind(whole).bind(name);
  Result<std::vector<Job>> found = read_jobs(database, query);
  if (!found) return fail(found.error());
  if (found->empty()) return std::nullopt;
  return std::move(found->front());
}

}  // namespace

// What the user said of the whole holds of its parts.
Result<Claim> Store::claim_part(const std::string& whole, Token token, const Job& part,
                                WallTime now) {
  const Token mine = next_token();
  Claim claim;
  Result<void> done = write("part", "claim a part of the job", [&]() -> Result<void> {
    Statement row = database_->prepare(
        "SELECT 1 FROM jobs WHERE id=? AND state='running' AND token=?", kDoing);
    Result<bool> held = row.bind(whole).bind(token).next();
    if (!held) return fail(held.error());
    if (!*held) return fail(Code::kConflict, "job " + whole + " is no longer run under this claim");
    Result<std::optional<Job>> there = part_of(*database_, whole, part.part);
    if (there && *there && (*there)->spec.params != part.spec.params) {
      // What was cut has been cut anew since: this is another part of the same name.
      Statement other = database_->prepare("SELECT seq FROM jobs WHERE id=?", kDoing);
      Result<bool> row_of_it = other.bind((*there)->id).next();
      if (!row_of_it) return fail(row_of_it.error());
      Result<void> gone = remove_rows(other.integer(0), (*there)->id);
      if (!gone) return gone;
      there->reset();
    }
    if (there && !*there) {
      Result<void> added =
          database_
              ->prepare("INSERT INTO jobs(id, kind, params, priority, state, submitted_ms,"
                        " device_hint, shortage, stays, parent, part) SELECT ?, ?, ?, priority,"
                        " 'queued', ?, device_hint, shortage, stays, seq, ? FROM jobs WHERE id=?",
                        kDoing)
              .bind(part.id).bind(kPartKind).bind(part.spec.params).bind(millis(now))
              .bind(part.part).bind(whole).run();
      if (!added) return added;
      there = part_of(*database_, whole, part.part);
    }
    if (!there) return fail(there.error());
    Job& job = **there;
    claim = {std::move(job), 0, {}};
    if (claim.job.state == JobState::kDone) return {};
    if (is_final(claim.job.state)) {
      const Error error = claim.job.error.value_or(Error{Code::kCancelled, "it was cancelled", ""});
      return fail(error.code, fmt::format("{} is {}: {}", part.part,
                                          job_state_name(claim.job.state), error.message),
                  error.remedy);
    }
    // An earlier attempt could not record how it ended.
    Result<Held> mine_now = claim.job.state == JobState::kRunning
                                ? hold(claim.job.id, std::nullopt, JobState::kQueued)
                                : hold(claim.job.id, std::nullopt, JobState::kRunning);
    if (!mine_now) return fail(mine_now.error());
    if (claim.job.state == JobState::kRunning) {
      if (Result<void> back = move(*mine_now, JobState::kQueued, ""); !back) return back;
    }
    claim.token = mine;
    claim.job.state = JobState::kRunning;
    claim.job.attempts += 1;
    claim.job.started = now;
    return begin_row(*database_, mine_now->seq, mine, now);
  });
  if (!done) return fail(done.error());
  return claim;
}

Result<std::vector<Store::Held>> parts_of(const Database& database, int64_t seq,
                                          std::string_view states) {
  std::vector<Store::Held> parts;
  Statement row = database.prepare(
      fmt::format("SELECT seq, state, token, id FROM jobs WHERE parent=?{} ORDER BY seq",
                  states.empty() ? "" : fmt::format(" AND state IN ({})", states)), kDoing);
  row.bind(seq);
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return parts;
    const std::optional<JobState> state = parse_job_state(row.text(1));
    if (!state) return fail(Code::kCorrupt, fmt::format("a part is {}", row.text(1)));
    parts.push_back({row.integer(0), *state, row.integer(2), row.text(3), true});
  }
}

}  // namespace gantry
