// What any answer within a node of the search costs at least, by prices on budgets. For search.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <vector>

#include "plan/household.h"
#include "plan/round.h"

namespace gantry {

// Some roles said, the others open; of each model the ways that are still worth looking at.
struct Node {
  std::vector<Role> role;        // of each unit
  std::vector<size_t> scenario;  // of each unit that takes turns
  size_t turning = 0;            // units; without any there is one scenario all the same
  std::vector<Live> live;        // of each model
  std::vector<double> price;     // (scenario, stride): of all of the budget
  double bound = 0;

  // A unit that begins to take turns gets a scenario and its share of the prices there are.
  void decide(const Household& house, size_t unit, Role wanted);
  size_t scenarios() const { return turning == 0 ? 1 : turning; }
  bool open() const;
};
Node root_of(const Household& house, std::vector<Live> live);

// Of each model and unit at one set of prices.
struct Priced {
  double value = -std::numeric_limits<double>::infinity();
  std::vector<double> stays, turns;  // of a model, the least that it pays in that role
  std::vector<uint32_t> stay_pick, turn_pick;
  std::vector<double> unit_stays, unit_turns;
  std::vector<bool> away;            // of a unit: takes turns, or would where it is open
};

// How picks moved while prices did: running means, and means of squares.
struct Drift {
  std::vector<double> mean, square;  // (model, stride)
  std::vector<double> away;          // of a unit, as 0 or 1
};

// The ways of each model that paid least when all were looked at.
struct Few {
  std::deque<std::vector<uint32_t>> lists;
  std::vector<Live> live;
};

struct Raised {
  Priced priced;  // at the node's prices
  Drift drift;
  Few few;
};

struct Least {
  double value = std::numeric_limits<double>::infinity();
  uint32_t way = 0;
};

class Bound {
 public:
  // Counts the ways it looks at in *looked.
  Bound(const Household& house, uint64_t* looked) : house_(house), looked_(looked) {}

  // Moves the node's prices to raise its bound, until it is `cut` or the rounds are over.
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
  // Prices of models that stay: the sum over scenarios.
  std::vector<double> held_price(const Node& node) const;
  // Of a unit in its role; `held` is held_price().
  const double* own_price(const Node& node, size_t unit, const std::vector<double>& held) const;
  // The least share of swaps that each unit can have, whatever the open units do.
  std::vector<double> least_factors(const Node& node) const;

 private:
  void begin(const Node& node, const std::vector<double>& factors, Priced* now) const;
  void evaluate(const Node& node, const std::vector<Live>& live,
                const std::vector<double>& factors, Priced* now, Few* few) const;
  Least gather(size_t model, std::span<const uint32_t> ways, const double* price, double factor,
               Few* few, std::span<const uint32_t>* out) const;
  std::vector<double> gradient(const Node& node, const Priced& now) const;
  void watch(const Node& node, const Priced& now, Drift* drift) const;
  void walk(Node* node, int rounds, double cut, const std::vector<double>& factors, Priced* best,
            Raised* out) const;

  const Household& house_;
  uint64_t* looked_;
};

// A sum of terms, less what rounding may have added to it.
double rounded_down(double sum, double terms);

}  // namespace gantry
