// Which units take turns: every set of them, with what each costs at least. For search.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/bound.h"

namespace gantry {

// One way to say the open roles of a node.
struct RoleSet {
  std::vector<Role> role;  // of each unit
  double bound = 0;
  std::vector<double> price;  // of its node, once they were looked for
  bool tried = false;         // searched for a while
};

class Sets {
 public:
  // Of a node with at most kSetUnitsMax open units. Its lists must not grow.
  Sets(const Household& house, const Bound& bound, const Node& node);

  // Raises the bounds of all sets to what prices on what is held say: (stride).
  void raise(const Node& node, const std::vector<double>& held);

  std::vector<RoleSet> sets;

 private:
  const Household& house_;
  const Bound& bound_;
  std::vector<double> unpriced_;           // (unit, grid)
};
constexpr size_t kSetUnitsMax = 10;

}  // namespace gantry
