// Seeded random numbers (splitmix64): the same seed gives the same run everywhere.
#pragma once

#include <cstdint>

namespace gantry {

class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  static Rng from_system();  // seeded from getrandom(2)

  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // 0 <= result < bound; bound 0 gives 0. The bias is below bound / 2^64.
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : next() % bound; }

 private:
  uint64_t state_;
};

}  // namespace gantry
