// The least cost under every budget: one way for each model, and which models stay loaded. Pure
// combinatorics: knows bytes and costs, no models. Exact, by branch and bound: see search.cc.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry {

// One way to run one model. Costs are finite, not negative and at most kWayCostMax.
struct Way {
  double cost = 0;  // of its expected use, weighted
  double swap = 0;  // of loading it once more for each use, weighted likewise
  std::vector<uint64_t> bytes;  // one a device, in the order of ChooseAsk::budgets
};
constexpr double kWayCostMax = 1e100;  // sums of so many models stay finite

// Models that must be loaded at once are one unit, as are those joined by others: a with b and b
// with c are one. A unit stays loaded for good, or takes turns with the other units that do not:
// then each of these is loaded alone beside those that stay.
struct ChooseAsk {
  std::vector<uint64_t> budgets;       // of each device
  std::vector<std::vector<Way>> ways;  // of each model, at least one
  std::vector<double> shares;          // of each model: how often it is used, > 0
  std::vector<bool> stays;             // of each model: must stay loaded, with all of its unit
  std::vector<std::pair<size_t, size_t>> together;  // must be loaded at once
  std::vector<std::pair<size_t, size_t>> apart;     // never loaded at once: both take turns
  uint64_t nodes_max = 2'000'000;      // after so many the best so far is taken; about a second
};

// The cost is the sum over models of the chosen way's cost and, for units that take turns, of
// swap x (1 - share of the unit / shares of all units that take turns): the chance that another
// one was used since. A single unit that takes turns never meets another: it is said to stay.
struct Chosen {
  std::vector<size_t> way;   // of each model; where another costs the same, the lowest that fits
  std::vector<bool> stays;   // of each model
  double cost = 0;           // the least, to one part in 10^12
  double bound = 0;          // nothing is better than this; equal to cost when proven
  uint64_t nodes = 0;        // work: one for each 256 ways looked at
};

// The same ask gives the same answer. kUsage for contradictions ("together" and "apart", sizes
// that do not go together, a cost that is not finite), kDoesNotFit when there is no way at all,
// or none was found within nodes_max.
[[nodiscard]] Result<Chosen> choose(const ChooseAsk& ask);

}  // namespace gantry
