// Drops ways beside which the others cannot be good enough. For search alone.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "plan/node.h"

namespace gantry {

// Of a node in which every role is decided: raises its bound and keeps the ways that may be part
// of an answer below `cut`. New lists of ways go to `lists`, which must outlive the node. Adds to
// `looked` the ways it looked at. False where no answer in here is below `cut`.
[[nodiscard]] bool keep_pairs(const Household& house, double cut, Node* node, uint64_t* looked,
                              std::deque<std::vector<uint32_t>>* lists);

}  // namespace gantry
