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
// Three attempts for each of four steps, and some that ended with their daemon; and as often again
// as its user wants.
constexpr uint32_t kRunsMax = 40, kRevivedRunsMax = 200;
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
  if (entry.ended == "done" || (entry.ended == "failed" && !entry.revive_asked)) {
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

void History::told_time(WallTime now) {
  looked_[fibers_.current()] = {++stamp_, now};
  latest_ = std::max(latest_, now);
}

// What it was to wait for has come.
void History::check_conditions(const Job& job, const Entry& entry) {
  // It may have been put in line before the clock was set back.
  if (latest_ < entry.not_before) wrong(fmt::format("job {} runs before its time", entry.n));
  const bool late = entry.deadline != WallTime{} && job.started > entry.deadline;
  if (late && !entry.revive_asked) {
    wrong(fmt::format("job {} begins after its deadline", entry.n));
  }
  for (const int64_t n : entry.needs) {
    Entry& other = entries_[n];
    if (!other.worked) wrong(fmt::format("job {} runs before job {} is done", entry.n, n));
    if (!other.ended.empty() && other.ended != "done" && !other.revive_asked) {
      wrong(fmt::format("job {} runs, and job {}, which it needs, is {}", entry.n, n,
                        other.ended));
    }
    other.needed = true;
  }
}

void History::check_order(const Job& job, Entry& entry) {
  const Told& looked = looked_[fibers_.current()];
  const bool waited = entry.not_before != WallTime{} || !entry.needs.empty() ||
                      entry.pause_asked || entry.revive_asked;
  const bool first = entry.runs == 0 && entry.acked > 0 && looked.time == job.started && !waited;
  for (const Claimed& other : claims_) {
    if (!first || other.n == entry.n) continue;
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
}

void History::run_began(const Job& job) {
  Entry& entry = of(job);
  if (entry.pruned) wrong(fmt::format("job {} was pruned and runs", entry.n));
  // One that was cancelled after its claim may begin, and is told at once.
  const bool again = entry.revive_asked && entry.ended != "done";
  if (!entry.ended.empty() && entry.ended != "cancelled" && !again) {
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
  check_conditions(job, entry);
  check_order(job, entry);
  ++entry.running;
  if (++entry.runs > (entry.revive_asked ? kRevivedRunsMax : kRunsMax)) {
    wrong(fmt::format("job {} runs for the {}th time", entry.n, entry.runs));
  }
}

void History::run_ended(const Job& job, bool with_result) {
  Entry& entry = of(job);
  --entry.running;
  entry.worked |= with_result;
}

void History::given(const Job& job, const std::string* bytes) {
  const Entry& entry = of(job);
  if (entry.input.empty()) return;
  if (bytes == nullptr) return wrong(fmt::format("the input of job {} is gone", entry.n));
  if (*bytes == entry.input) return;
  wrong(fmt::format("the input of job {} was {} and is {}", entry.n, entry.input, *bytes));
}

void History::revived(Entry& entry, bool was_done) {
  if (was_done) wrong(fmt::format("job {} was done and is tried again", entry.n));
  if (entry.ended != "done") entry.ended.clear();  // which it may be by now
  entry.cancelled.reset();
}

bool History::may_have_ended(const Entry& entry) {
  return entry.runs > 0 || entry.cancel_asked || entry.deadline != WallTime{} ||
         !entry.needs.empty();
}

void History::pruned(const std::vector<std::string>& ids) {
  --prunes_;
  for (const std::string& id : ids) {
    Entry* entry = by_id(id);
    if (entry == nullptr) continue;  // nobody was told that it is there
    if (!may_have_ended(*entry) || entry->paused) {
      wrong(fmt::format("job {} was pruned and had not ended", entry->n));
    }
    if (entry->running > 0) wrong(fmt::format("job {} was pruned and runs", entry->n));
    entry->pruned = true;
  }
}

bool History::may_be_gone(const Entry& entry) const {
  return entry.pruned || ((prunes_ > 0 || prune_broken_) && may_have_ended(entry));
}

void History::working(const Job& job, bool told) {
  const Entry& entry = of(job);
  if (told || entry.revive_asked) return;
  if (entry.cancelled && fibers_.now() - *entry.cancelled > kToldWithin) {
    wrong(fmt::format("job {} was cancelled at {} ms and still runs", entry.n,
                      entry.cancelled->count()));
  }
}

void History::kept(const Job& job, const std::string& step,
                   const std::optional<std::string>& found) {
  Entry& entry = of(job);
  if (entry.cancel_asked) return;
  const auto saved = entry.saved.find(step);
  if (!found && !entry.revive_asked && saved != entry.saved.end()) {
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
  if (was_cancelled && !entry.revive_asked) {
    wrong(fmt::format("job {} was cancelled and saved {}", entry.n, step));
  }
  entry.saved[step] = bytes;
}

void History::saw(const Job& job, bool was_over) {
  Entry& entry = of(job);
  if (!entry.id.empty() && entry.id != job.id) {
    wrong(fmt::format("job {} is there as {} and {}", entry.n, entry.id, job.id));
  }
  const std::string state(job_state_name(job.state));
  // Its user may have wanted it once more, and not have heard of it.
  const bool again = entry.revive_asked && entry.ended != "done";
  if (again && job.state != JobState::kCancelled) entry.cancelled.reset();
  if (!is_final(job.state)) {
    // What was asked for while it ended may show how it was before.
    if (was_over && !again) wrong(fmt::format("job {} had ended and is {} now", entry.n, state));
    if (again) entry.ended.clear();
    return;
  }
  if (entry.needed && state != "done" && !entry.revive_asked) {
    wrong(fmt::format("job {} is {}, and one that needs it has run", entry.n, state));
  }
  if (!again && !entry.ended.empty() && entry.ended != state) {
    wrong(fmt::format("job {} was {} and is {} now", entry.n, entry.ended, state));
  }
  if (!again && entry.cancelled && state != "cancelled") {
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
  prune_broken_ = prune_broken_ || prunes_ > 0;
  prunes_ = 0;
  life_stamp_ = ++stamp_;
  before_life_ = highest_;
}

}  // namespace gantry::sim
