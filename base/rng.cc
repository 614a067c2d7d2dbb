// The system's own randomness, for ids and secrets' seeds.
#include "base/rng.h"

#include <sys/random.h>

#include <chrono>

namespace gantry {

Rng Rng::from_system() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  return Rng(seed);
}

}  // namespace gantry
