// All combinations of a few ways tried, under a bound: the end of a branch. For search alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "plan/household.h"

namespace gantry {

// A part of a household in which every role is decided and few ways are left.
struct Filling {
  const Household* house = nullptr;
  std::vector<Role> role;                       // of each unit
  std::vector<double> factors;                  // of each unit: swap_factors()
  std::vector<std::span<const uint32_t>> live;  // of each model
  std::vector<std::vector<double>> paid;        // (model, way of live): cost and prices of models
                                                // that stay; empty for those that take turns
  double bound = 0;                             // of all answers in here, at these prices
  uint64_t* looked = nullptr;                   // ways looked at, counted on
  uint64_t looked_max = 0;                      // and given up after
};

// The cheapest that fits and costs less than `cut`; `whole` becomes false when it was given up
// before all was tried. The answer's cost is approximate.
std::optional<Answer> fill(const Filling& filling, double cut, bool* whole);

}  // namespace gantry
