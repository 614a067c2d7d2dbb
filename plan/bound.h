// What any answer within a node of the search costs at least, by prices on budgets. For search.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "plan/blend.h"
#include "plan/node.h"

namespace gantry {

// Of each model and unit at one set of prices.
struct Priced {
  double value = -std::numeric_limits<double>::infinity();
  std::vector<double> stays, turns;  // of a model, the least that it pays in that role
  std::vector<uint32_t> stay_pick, turn_pick;
  std::vector<double> unit_stays, unit_turns;
  std::vector<bool> away;            // of a unit: takes turns, or would where it is open
};

struct Raised {
  Priced priced;                           // at the node's prices
  std::vector<std::vector<uint32_t>> few;  // of each model, ways that were cheapest at some prices
  // Of the cheapest blend of these: see blend.h. Empty where there was no need of one.
  std::vector<Fraction> blend;
  std::vector<double> away;  // (unit): the fraction of an open one that takes turns
};

struct Least {
  double value = std::numeric_limits<double>::infinity();
  uint32_t way = 0;
};

class Bound {
 public:
  // Counts the ways it looks at in *looked.
  Bound(const Household& house, uint64_t* looked) : house_(house), looked_(looked) {}

  // Moves the node's prices to raise its bound, until it is `cut`, or as high as prices can raise
  // it, or the rounds are over.
  void raise(Node* node, int rounds, double cut, Raised* out) const;

  double paid(size_t model, uint32_t way, const double* price, double factor) const {
    const Column& column = house_.columns[model];
    const double* part = &column.parts[way * house_.stride];
    double sum = column.cost[way] + factor * column.swap[way];
    for (size_t d = 0; d < house_.stride; d += 4) {
      sum += (price[d] * part[d] + price[d + 1] * part[d + 1]) +
             (price[d + 2] * part[d + 2] + price[d + 3] * part[d + 3]);
    }
    return sum;
  }
  Least least_of(size_t model, std::span<const uint32_t> ways, const double* price,
                 double factor) const;
  // The least share of swaps that each unit can have, whatever the open units do.
  std::vector<double> least_factors(const Node& node) const;

 private:
  void begin(const Node& node, const std::vector<double>& factors, Priced* now) const;
  void evaluate(const Node& node, const std::vector<double>& factors, Priced* now,
                std::vector<std::vector<uint32_t>>* cheapest) const;
  Least cheapest_of(size_t model, std::span<const uint32_t> ways, const double* price,
                    double factor, std::vector<uint32_t>* out) const;

  const Household& house_;
  uint64_t* looked_;
};

// A sum of terms, less what rounding may have added to it.
double rounded_down(double sum, double terms);

}  // namespace gantry
