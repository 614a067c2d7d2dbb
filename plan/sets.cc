// Bounds of sets. What a unit pays in turn depends on its share of swaps f: the least over ways of
// cost + f x swap, a concave function of f. It is taken at few f; between two of them the straight
// line is below it.
#include "plan/sets.h"

#include <algorithm>
#include <cmath>

namespace gantry {

namespace {

constexpr size_t kGrid = 5;  // values of f, from 0 to 1

std::vector<double> grid_of(const Household& house, const Bound& bound, const Node& node,
                            const std::vector<double>& price) {
  std::vector<double> grid(house.units.size() * kGrid, 0);
  for (size_t u = 0; u < house.units.size(); ++u) {
    if (node.role[u] == Role::kStays) continue;
    for (size_t i = 0; i < kGrid; ++i) {
      const double factor = static_cast<double>(i) / (kGrid - 1);
      for (const size_t m : house.units[u].models) {
        grid[u * kGrid + i] +=
            bound.least_of(m, node.live[m].turns, price.data(), factor).value;
      }
    }
  }
  return grid;
}

double at(const std::vector<double>& grid, size_t unit, double factor) {
  const double place = std::clamp(factor, 0.0, 1.0) * (kGrid - 1);
  const auto i = std::min<size_t>(static_cast<size_t>(place), kGrid - 2);
  const double part = place - static_cast<double>(i);
  return (1 - part) * grid[unit * kGrid + i] + part * grid[unit * kGrid + i + 1];
}

}  // namespace

Sets::Sets(const Household& house, const Bound& bound, const Node& node)
    : house_(house), bound_(bound) {
  std::vector<size_t> open;
  for (size_t u = 0; u < node.role.size(); ++u) {
    if (node.role[u] == Role::kOpen) open.push_back(u);
  }
  for (uint32_t mask = 0; mask < (1U << open.size()); ++mask) {
    RoleSet set{node.role, node.bound, {}};
    for (size_t i = 0; i < open.size(); ++i) {
      set.role[open[i]] = (mask >> i & 1U) != 0 ? Role::kTurns : Role::kStays;
    }
    // A single unit in turn is the same as one that stays.
    if (std::ranges::count(set.role, Role::kTurns) != 1) sets.push_back(std::move(set));
  }
  unpriced_ = grid_of(house, bound, node, std::vector<double>(house.stride, 0));
}

void Sets::raise(const Node& node, const std::vector<double>& held) {
  const std::vector<double> priced = grid_of(house_, bound_, node, held);
  const size_t units = house_.units.size();
  std::vector<double> stays(units, 0);
  double prices = 0;
  for (const double p : held) prices += p;
  for (size_t u = 0; u < units; ++u) {
    if (node.role[u] == Role::kTurns) continue;
    for (const size_t m : house_.units[u].models) {
      stays[u] += bound_.least_of(m, node.live[m].stays, held.data(), 0).value;
    }
  }
  for (RoleSet& set : sets) {
    const std::vector<double> factors = swap_factors(house_, set.role);
    double sum = 0, more = 0;  // the prices are those of one scenario, where they say most
    for (size_t u = 0; u < units; ++u) {
      if (set.role[u] == Role::kStays) {
        sum += stays[u];
        continue;
      }
      const double unpriced = at(unpriced_, u, factors[u]);
      sum += unpriced;
      more = std::max(more, at(priced, u, factors[u]) - unpriced);
    }
    set.bound = std::max(set.bound, rounded_down(sum + more - prices, sum + more + prices));
  }
}

}  // namespace gantry
