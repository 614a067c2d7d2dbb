// Good answers fast: from picks that may not fit to picks that do, then improved until no single
// change helps. For search alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "plan/household.h"

namespace gantry {

// Ways of one model that are worth looking at in each role.
struct Live {
  std::span<const uint32_t> stays, turns;
};

// `start` may not fit; start.cost is not read. None where no repair was found. Adds to `looked`
// the ways it looked at.
std::optional<Answer> round_off(const Household& house, const std::vector<Live>& live,
                                Answer start, uint64_t* looked);

// A unit that takes turns alone stays: it never meets another.
void settle(const Household& house, Answer* answer);

}  // namespace gantry
