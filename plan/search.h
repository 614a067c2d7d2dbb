// Branch and bound over a household: which units stay, then which ways. For choose alone.
#pragma once

#include <cstdint>
#include <optional>

#include "plan/household.h"

namespace gantry {

struct Found {
  std::optional<Answer> best;  // none: there is no way at all, or `open`
  double bound = 0;            // nothing is better
  bool open = false;           // ended by nodes_max before it was proven
  uint64_t nodes = 0;
};

Found search(const Household& house, uint64_t nodes_max);

}  // namespace gantry
