// What a seed means: a machine, its models and their habits, what users do, how each daemon ends.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "audit/machine.h"
#include "config/config.h"
#include "foreman/card_probe.h"
#include "lab/sim/history.h"
#include "lab/sim/world.h"

namespace gantry::sim {

enum class Flavour {
  kMixed,     // a bit of everything
  kHandover,  // models that fit only one at a time, memory that comes back late
  kCrowd,     // small models without a pause, and a big one that wants in
};

struct Op {
  enum class What {
    kSubmit, kAgain, kCancel, kHold, kRetry, kPrune, kSession, kUnload, kLook, kList, kWatch, kPause
  };
  What what = What::kPause;
  int64_t n = 0;        // of a job
  std::string model;
  Millis time{0};
  Millis patience{0};   // then the user cancels; 0: never
};

struct Client {
  std::string name;
  std::vector<Op> ops;
  size_t next = 0;
  bool begun = false;   // the op was asked for and the daemon ended before it answered
};

enum class Fate { kKill, kPower, kStop, kLast };

struct Life {
  Fate fate = Fate::kLast;
  uint64_t points = 0;      // until it is killed or the power goes
  uint64_t steps = 0;       // or so many points after the n-th step of the store; 0: by points
  Millis stop_after{0};     // kStop
  Loss loss = Loss::kAll;
  uint32_t orphan_odds = 0;
  bool reboot = false;      // kKill: the machine too, with all that was written
  bool stale = false;       // before the next one, old tokens are tried
};

struct JobPlan {
  int steps = 1;
  std::string model;  // empty: none
  Millis work{0};
  Millis delay{0};             // not before so long after it is asked for
  Millis deadline{0};          // and begun so long after that, or never; 0: none
  std::vector<int64_t> needs;  // what it depends on, where that was acknowledged
  std::string input;           // what is in the file that it has kept; empty: it has none
};

struct Scenario {
  uint64_t seed = 0;
  Flavour flavour = Flavour::kMixed;
  FiberOptions fibers;
  Machine machine;
  Config config;
  std::map<std::string, ModelCard> cards;   // by file
  std::map<std::string, Habits> habits;
  uint32_t job_threads = 2;
  std::vector<Life> lives;
  std::vector<Client> clients;
  std::map<int64_t, JobPlan> jobs;
  bool faulty = false;        // workers may fail, so a job may
  bool growth = false;
  bool prunes = false;        // users remove what has ended; then no job has a key
  uint32_t chaos_odds = 0;    // other programs take memory, clocks jump, processes are killed
};

// `entries` are filled with what the users will ask for.
Scenario make_scenario(uint64_t seed, std::map<int64_t, Entry>* entries);

std::string params_of(const Entry& entry, const JobPlan& plan);

}  // namespace gantry::sim
