// What the expert cache is compared with: known policies, replayed over a trace.
#pragma once

#include "bench/experts/trace.h"

namespace gantry::bench {

// Experts found in the cache and not; of the tokens that are no prompts.
struct Score {
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t prompt_misses = 0;
  double seconds = 0;
  double rate() const {
    return static_cast<double>(hits) / static_cast<double>(hits + misses);
  }
};

// Every policy must have all experts of a use in slots at once, as the kernels want them.
Score replay_gantry(const Trace& trace, uint32_t slots);
Score replay_lru(const Trace& trace, uint32_t slots);
Score replay_lfu(const Trace& trace, uint32_t slots);     // counts for ever; ties: least recent
// Knows the recipe's chances, not its dice: evicts the least probable. experts.cc says why nothing
// does better where tokens are drawn independently.
Score replay_informed(const Trace& trace, uint32_t slots);
Score replay_belady(const Trace& trace, uint32_t slots);  // knows the future: evicts the farthest

}  // namespace gantry::bench
