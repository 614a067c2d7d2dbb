// A durable job: what was ordered, how it stands, what came out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace gantry {

// What leads from one to the other: foreman/job_state.h.
enum class JobState {
  kWaiting,      // for other jobs, or for its time
  kQueued,       // in line
  kRunning,
  kPaused,       // by the user, until resumed; keeps its checkpoints
  kDone,
  kFailed,
  kCancelled,
  kQuarantined,  // its workers died under it again and again; evidence says how
};
std::string_view job_state_name(JobState state);
std::optional<JobState> parse_job_state(std::string_view name);

struct JobSpec {
  std::string kind;                // "transcribe", "minutes", "generate", ...
  std::string params;              // JSON object, checked by the kind's executor at submit
  std::vector<std::string> files;  // absolute paths, checked to be readable at submit
  int priority = 0;                // higher first
  std::string idempotency_key;     // same key: the same job is returned
  WallTime not_before{};           // waits until then
  WallTime deadline{};             // not begun after that; none when zero
  std::vector<std::string> depends_on = {};  // ids: runs once all of these are done
  uint32_t attempts_max = 0;       // claims in all; 0: as long as it makes progress
  bool keep = false;               // what is in the files is copied; they may change or go then
  std::vector<std::string> names = {};  // of kept files that have others than `files` says
  std::string device = {};         // where its models are to compute; empty: as they are planned
  std::vector<std::string> shortage = {};  // words for what does not fit; empty: the models' own
  bool stays = false;              // nothing of it leaves this machine ("private")
};

// The kind of jobs that another one's executor makes and runs; nobody submits them.
inline constexpr const char* kPartKind = "part";

// How many jobs there are of each state.
struct JobTally {
  std::array<uint64_t, 8> jobs{};  // by JobState
  uint64_t of(JobState state) const { return jobs.at(static_cast<size_t>(state)); }
  uint64_t unfinished() const {  // that a daemon has still to do
    return of(JobState::kWaiting) + of(JobState::kQueued) + of(JobState::kRunning);
  }
};

// Which jobs are listed, newest first.
struct JobQuery {
  uint32_t limit = 100;
  std::optional<JobState> state = {};
  std::string before = {};  // older than this one; for the next page
  std::string part_of = {};  // the parts of this one; empty: jobs that are none
  std::string part = {};     // of those the one of this name
};

struct Job {
  std::string id;
  JobSpec spec;
  std::vector<std::string> input_sha256;  // of each file that is kept; "" for one read by path
  JobState state = JobState::kQueued;
  uint32_t attempts = 0;
  std::string device;
  std::string result_file;    // when done
  std::string result_sha256;
  std::optional<Error> error;  // when failed, or of the last attempt
  std::string evidence;        // JSON list: each attempt that a worker did not survive
  std::string answered;        // JSON list: the models that answered, where, and why they did
  std::string part_of, part;   // of a part: the whole job's id, the part's name in it
  std::string waits_for;       // of a waiting one: "2 jobs", "2026-01-31T22:00:00.000Z"
  WallTime submitted{}, started{}, finished{};
  double progress = 0;  // 0..1, not durable
  std::string step;     // what it is doing now, not durable
  std::optional<double> remaining_s;  // of a running one, by its progress so far
};

}  // namespace gantry
