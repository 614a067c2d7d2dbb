// What the foreman tells of models, devices and modes. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "foreman/choice.h"
#include "worker/worker.h"

namespace gantry {

// A model the foreman knows, with its plan.
struct ModelStatus {
  std::string name;
  std::string kind;   // "language", "vision", "speech", "embedding", "command"
  std::string state;  // "unloaded", "loading", "ready", "stopping"
  int pid = 0;
  Bytes predicted;
  Bytes measured;  // now; 0 when not loaded
  uint32_t sessions = 0;
  std::string waits;   // "waits for 1.2 GiB that other programs hold"; empty: it does not
  uint64_t grown = 0;  // how often a worker of it has passed its lease
  uint64_t fallbacks = 0;  // loads elsewhere, because its device had failed it
  Placement placement;
  std::optional<StreamCounters> stream;  // of a loaded model that streams
  std::vector<std::string> one_of;  // a choice among these: never loaded itself
};

struct LedgerStatus {
  std::string device;
  Bytes budget;
  Bytes booked;
  Bytes measured_peak;  // summed PSS of all workers, highest seen since the start
  Bytes elsewhere;      // leased by daemons and programs of other users
  std::vector<Holder> strangers;  // who holds its memory without any lease, as far as can be seen
};

// A model that is one of several, as it would be answered now.
struct ModeStatus {
  std::string model;
  Mode mode = Mode::kBalanced, configured = Mode::kBalanced;
  std::string taken;      // who would answer; empty: nobody can
  std::string why;        // why it is this one
  uint32_t level = 0;     // steps down from what the mode takes
  std::string pressure;   // what made it step down last; empty: it has not
  uint64_t changes = 0;   // of the level, since the start
  std::vector<Candidate> members;  // the best first
};

}  // namespace gantry
