// What the store keeps besides jobs: claims, checkpoints, leases.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "foreman/job.h"

namespace gantry {

// Rises for ever, over restarts and restored backups too: epoch << 32 | count. Who shows an older
// one is fenced off. An epoch is above all before it and at least the minutes since 2020, so that a
// backup's next one is above what was given since it was made.
using Token = int64_t;

struct FileIdentity {
  std::string path;
  Bytes size;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  std::string sha256 = {};  // of the copy in inputs/ that the job reads; empty: it reads `path`
  bool operator==(const FileIdentity&) const = default;
};

struct Claim {
  Job job;
  Token token = 0;
  std::vector<FileIdentity> files;  // as they were at submit
};

// Which of the jobs that have ended go, the oldest first: all that are asked for, but those that
// others still depend on, and those that an executor or a sweep has yet to leave.
struct PruneRule {
  std::optional<uint64_t> keep;       // but so many ended ones, the newest
  std::optional<WallTime> before;     // those that ended before this
  std::optional<JobState> state;      // those of this one: done, failed or cancelled
};

struct Pruned {
  std::string id;
  std::vector<std::string> input_sha256;
};

struct Checkpoint {
  std::string step;
  std::string file;  // name inside the job's folder
  std::string sha256;
};

// How much work a model made of sound on one device, over its last uses: what came later counts
// more, and a long recording more than a short one.
struct HeardPace {
  std::string fingerprint;  // of its file and settings
  std::string model, device;
  double sound_s = 0, work_s = 0;
  WallTime at{};            // of the last one
  double factor() const { return work_s / sound_s; }  // of work for a second of sound
};
constexpr double kPaceKept = 0.8;  // of what was known, with each further use

struct LeaseRow {
  Token token = 0;
  std::string device;
  Bytes bytes;
  std::string model;
  int pid = 0;  // 0: not started yet
  uint64_t start_ticks = 0;
  std::string boot_id;
  bool program = false;  // of the user's, not a worker of ours: outlives the daemon
  bool whole = false;    // nobody else on the device
  // Since the start of the machine, by Clock::boot().
  Millis granted{0};
  Millis heartbeat{0};               // when the holder was last seen alive
  std::optional<Millis> deadline;    // of a program, or of a worker that loads
};

}  // namespace gantry
