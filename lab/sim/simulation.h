// One seed from its first daemon to the last check: the foreman's own code over the simulated
// machine, its users, and the end of each of its daemons.
#pragma once

#include <list>
#include <memory>

#include "foreman/foreman.h"
#include "lab/sim/executor.h"
#include "lab/sim/scenario.h"
#include "lab/sim/seams.h"

namespace gantry::sim {

struct Outcome {
  bool ok = false;
  std::string why;
  uint64_t digest = 0, points = 0, switches = 0;
  uint64_t handovers = 0, late_handovers = 0, workers = 0, jobs = 0, lives = 0, written = 0;
  Millis simulated{0};
};

class Simulation {
 public:
  // `state_dir` exists, for the one file that SQLite's owner makes itself; nothing else is there.
  Simulation(uint64_t seed, std::string state_dir, bool loud);
  Outcome run();

 private:
  bool run_life(const Life& life, size_t nth);  // false: it has failed
  void after(const Life& life);
  void live(const Life& life);
  ForemanOptions options();
  void second_daemon();
  void start_users(std::vector<uint32_t>* ids);
  void use(Client& client);
  bool take(Client& client, const Op& op);  // false: the daemon stops, it is asked again
  bool submit(Client& client, const Op& op);
  void cancel(const Op& op);
  void session(const Op& op);
  void hold(const Op& op);
  void retry(const Op& op);
  void prune(const Op& op);
  JobSpec spec_of(Entry& entry, const JobPlan& plan);
  bool refused_rightly(const Entry& entry, const Error& error);
  void look(int64_t n);
  void list();
  void chaos();
  void calm_down();
  void all_over();       // waits until every job has ended
  void last_checks();
  void check_disk();  // nothing lies there that no job has
  void stale_holders();  // on the store alone, between two daemons
  void attack(Store& store, const Claim& claim, Token stale);
  void expect_conflict(const Result<void>& done, const char* what, Token stale);
  http::Cancel& later(Millis time);  // a flag that is set then

  Fibers fibers_;
  World world_;
  History history_;
  Scenario scenario_;
  SimOs os_;
  SimClock clock_;
  SimLog log_;
  Rng rng_;
  std::string state_dir_;
  Foreman* foreman_ = nullptr;     // of this life
  std::list<http::Cancel> flags_;  // for as long as anybody may look at them
  bool calm_ = false;
  Millis wall_highest_{0};         // of the world's offset
  Token last_claim_ = 0;           // of a stale holder
};

}  // namespace gantry::sim
