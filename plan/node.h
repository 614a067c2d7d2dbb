// A node of the search: what is decided, and what is still worth looking at.
#pragma once

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
  bool pairs = true;  // keep_pairs() may be worth its time

  // A unit that begins to take turns gets a scenario and its share of the prices there are.
  void decide(const Household& house, size_t unit, Role wanted);
  size_t scenarios() const { return turning == 0 ? 1 : turning; }
  bool open() const;
  // Prices of models that stay: the sum over scenarios.
  std::vector<double> held_price() const;
  // Of a unit in its role; `held` is held_price().
  const double* own_price(size_t unit, const std::vector<double>& held) const;
};
Node root_of(const Household& house, std::vector<Live> live);

}  // namespace gantry
