// Many seeds over two processes: a child takes a few hundred, so that what crashed daemons leak
// goes with it, and one that dies itself names its seed.
#pragma once

#include <cstdint>
#include <functional>

#include "lab/sim/simulation.h"

namespace gantry::sim {

struct Tally {
  uint64_t seeds = 0, failed = 0, twice = 0, points = 0, switches = 0, lives = 0, jobs = 0,
           workers = 0, handovers = 0, late_handovers = 0, simulated_s = 0;
  uint64_t first_failed = 0;  // its seed
  char why[1500] = {};        // likewise
  void add(const Tally& other);
  void failure(uint64_t seed, const std::string& why);
};

struct Batches {
  uint64_t from = 1, count = 1;
  std::string dir;            // with gantry.db in it
  uint32_t stride = 1;        // of every so many seeds one
  bool stop_at_failure = false;
  uint64_t handovers_max = 0;  // enough of them end it; 0: never
};

// Each seed with the bug that is on now; one in 64 twice, to compare its digests.
Tally run_batches(const Batches& batches);

}  // namespace gantry::sim
