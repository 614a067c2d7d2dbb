// The checkers.
#include "lab/sim/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "foreman/job_state.h"
#include "foreman/sha256.h"

namespace gantry::sim {

namespace {

// An executor hears of a cancel between two of its steps, each of at most a hundredth of this.
constexpr Millis kToldWithin{1'000};
// Three attempts for each of four steps, and some that ended with their daemon.
constexpr uint32_t kRunsMax = 40;
constexpr size_t kClaimsKept = 500;

}  // namespace

int64_t number_of(const Job& job) {
  const nlohmann::json params = nlohmann::json::parse(job.spec.params, nullptr, false);
  return params.is_object() ? params.value("n", int64_t{-1}) : -1;
}

Entry& History::of(const Job& job) {
  const auto found = entries_.find(number_of(job));
  if (found == entries_.end()) wrong("a job that nobody submitted: " + job.spec.params);
  return found->second;
}

Entry* History::by_id(const std::string& id) {
  for (auto& [n, entry] : entries_) {
    if (entry.id == id) return &entry;
  }
  return nullptr;
}

void History::asked(Entry& entry) {
  if (entry.asked == 0) entry.asked = ++stamp_;
}

void History::acked(Entry& entry, const std::string& id) {
  if (!entry.id.empty() && entry.id != id) {
    wrong(fmt::format("job {} was {} and is {} now, under the same key", entry.n, entry.id, id));
  }
  entry.id = id;
  if (entry.acked == 0) entry.acked = ++stamp_;
}

void History::cancel_acked(Entry& entry) {
  if (entry.ended == "done" || entry.ended == "failed") {
    wrong(fmt::format("job {} had {} and was cancelled", entry.n, entry.ended));
  }
  if (!entry.cancelled) entry.cancelled = fibers_.now();
}

void History::paused(Entry& entry, bool now) {
  entry.paused.reset();
  if (now && entry.ended.empty() && !entry.cancelled) entry.paused = ++stamp_;
}

void History::store_step(std::string_view step) {
  if (on_step) on_step();
  fibers_.point(step);
}

void History::told_time(WallTime now) { looked_[fibers_.current()] = {++stamp_, now}; }

void History::run_began(const Job& job) {
  Entry& entry = of(job);
  // One that was cancelled after its claim may begin, and is told at once.
  if (!entry.ended.empty() && entry.ended != "cancelled") {
    wrong(fmt::format("job {} runs and was {}", entry.n, entry.ended));
  }
  if (entry.running > 0) wrong(fmt::format("job {} runs twice at once", entry.n));
  if (!entry.id.empty() && entry.id != job.id) {
    wrong(fmt::format("job {} runs as {}, it was acknowledged as {}", entry.n, job.id, entry.id));
  }
  const Told& looked = looked_[fibers_.current()];
  if (entry.paused && looked.stamp > *entry.paused && looked.time == job.started) {
    wrong(fmt::format("job {} is paused and runs", entry.n));
  }
  const bool first = entry.runs == 0 && entry.acked > 0 && looked.time == job.started;
  for (const Claimed& other : claims_) {
    if (!first || entry.pause_asked || other.n == entry.n) continue;
    if (other.since < std::max(entry.acked, life_stamp_)) continue;
    const Entry& one = entries_[other.n];
    const bool before = one.priority > entry.priority ||
                        (one.priority == entry.priority && one.asked < entry.acked);
    // What comes back keeps its place.
    if (other.by > looked.stamp || before || one.runs > 1) continue;
    wrong(fmt::format("job {} of priority {} was claimed before {} of priority {}", one.n,
                      one.priority, entry.n, entry.priority));
  }
  if (looked.time == job.started) claims_.push_back({looked.stamp, ++stamp_, entry.n});
  if (claims_.size() > kClaimsKept) claims_.erase(claims_.begin());
  ++entry.running;
  if (++entry.runs > kRunsMax) {
    wrong(fmt::format("job {} runs for the {}th time", entry.n, entry.runs));
  }
}

void History::run_ended(const Job& job) { --of(job).running; }

void History::working(const Job& job, bool told) {
  const Entry& entry = of(job);
  if (!told && entry.cancelled && fibers_.now() - *entry.cancelled > kToldWithin) {
    wrong(fmt::format("job {} was cancelled at {} ms and still runs", entry.n,
                      entry.cancelled->count()));
  }
}

void History::kept(const Job& job, const std::string& step,
                   const std::optional<std::string>& found) {
  Entry& entry = of(job);
  if (entry.cancel_asked) return;
  const auto saved = entry.saved.find(step);
  if (!found && saved != entry.saved.end()) {
    wrong(fmt::format("job {}: the checkpoint of {} was acknowledged and is lost", entry.n, step));
  }
  if (found && !entry.written[step].contains(*found)) {
    wrong(fmt::format("job {}: a checkpoint of {} that nobody wrote: {}", entry.n, step, *found));
  }
}

void History::saving(const Job& job, const std::string& step, const std::string& bytes) {
  of(job).written[step].insert(bytes);
}

void History::saved(const Job& job, const std::string& step, const std::string& bytes,
                    bool was_cancelled) {
  Entry& entry = of(job);
  if (was_cancelled) wrong(fmt::format("job {} was cancelled and saved {}", entry.n, step));
  entry.saved[step] = bytes;
}

void History::saw(const Job& job, bool was_over) {
  Entry& entry = of(job);
  if (!entry.id.empty() && entry.id != job.id) {
    wrong(fmt::format("job {} is there as {} and {}", entry.n, entry.id, job.id));
  }
  const std::string state(job_state_name(job.state));
  if (!is_final(job.state)) {
    // What was asked for while it ended may show how it was before.
    if (was_over) wrong(fmt::format("job {} had ended and is {} now", entry.n, state));
    return;
  }
  if (!entry.ended.empty() && entry.ended != state) {
    wrong(fmt::format("job {} was {} and is {} now", entry.n, entry.ended, state));
  }
  if (entry.cancelled && state != "cancelled") {
    wrong(fmt::format("job {} was cancelled and is {} now", entry.n, state));
  }
  if (state == "cancelled" && !entry.cancel_asked) {
    wrong(fmt::format("job {} is cancelled, and nobody asked for it", entry.n));
  }
  if (state != "done" && !job.result_file.empty()) {
    wrong(fmt::format("job {} is {} and has a result", entry.n, state));
  }
  if (state == "done" && !entry.sha.empty() && entry.sha != job.result_sha256) {
    wrong(fmt::format("job {} has another result than before", entry.n));
  }
  entry.ended = state;
  entry.sha = job.result_sha256;
  entry.attempts = job.attempts;
}

void History::saw_result(const Job& job, const Result<std::string>& bytes) {
  Entry& entry = of(job);
  if (!bytes) {
    wrong(fmt::format("the result of job {} cannot be read: {}", entry.n, bytes.error().message));
  }
  if (!entry.result.empty() && entry.result != *bytes) {
    wrong(fmt::format("the result of job {} has changed", entry.n));
  }
  entry.result = *bytes;
  size_t at = 0;
  for (const auto& [step, any] : entry.written) {
    const bool there = std::ranges::any_of(any, [&](const std::string& line) {
      if (bytes->compare(at, line.size(), line) != 0) return false;
      at += line.size();
      return true;
    });
    if (!there) {
      wrong(fmt::format("job {}: {} of its result is of no attempt: {}", entry.n, step, *bytes));
    }
  }
  if (at != bytes->size()) wrong(fmt::format("job {}: the result has too much", entry.n));
}

// STATE/jobs/ID/result.TOKEN, STATE/jobs/ID/steps/HASH.TOKEN
void History::file_written(const std::string& path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos || dot + 1 == path.size()) return;
  const std::string digits = path.substr(dot + 1);
  if (!std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) return;
  const Token found = std::stoll(digits);
  token(found);
  for (auto& [n, entry] : entries_) {
    if (!entry.id.empty() && path.find(entry.id) != std::string::npos) entry.tokens.insert(found);
  }
}

void History::token(Token token) {
  if (token <= before_life_) {
    wrong(fmt::format("token {} is not above {}, which an earlier daemon gave", token,
                      before_life_));
  }
  highest_ = std::max(highest_, token);
}

void History::life_begins() {
  for (auto& [n, entry] : entries_) entry.running = 0;
  claims_.clear();
  looked_.clear();
  life_stamp_ = ++stamp_;
  before_life_ = highest_;
}

}  // namespace gantry::sim
