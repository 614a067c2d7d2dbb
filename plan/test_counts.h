// How many random cases a test looks at: few in each run, many with GANTRY_TEST_FULL=1.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace gantry {

inline uint64_t cases(uint64_t few, uint64_t many) {
  return std::getenv("GANTRY_TEST_FULL") == nullptr ? few : many;
}

// Where each case is quick: many in each run but under a sanitizer, where they take minutes.
inline uint64_t quick_cases([[maybe_unused]] uint64_t few, uint64_t many) {
#ifdef __SANITIZE_ADDRESS__
  return cases(few, many);
#else
  return many;
#endif
}

}  // namespace gantry
