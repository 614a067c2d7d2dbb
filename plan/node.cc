// Roles as they are decided.
#include "plan/node.h"

#include <algorithm>
#include <utility>

namespace gantry {

bool Node::open() const { return std::ranges::count(role, Role::kOpen) > 0; }

void Node::decide(const Household& house, size_t unit, Role wanted) {
  role[unit] = wanted;
  for (const size_t m : house.units[unit].models) {
    (wanted == Role::kStays ? live[m].turns : live[m].stays) = {};
  }
  if (wanted == Role::kStays) return;
  scenario[unit] = turning++;
  if (turning == 1) return;  // takes over the one scenario there was
  const auto rows = static_cast<double>(turning);
  std::vector<double> sum(house.stride, 0);
  for (size_t i = 0; i < price.size(); ++i) sum[i % house.stride] += price[i];
  for (double& p : price) p *= (rows - 1) / rows;
  for (const double p : sum) price.push_back(p / rows);
}

std::vector<double> Node::held_price() const {
  const size_t stride = price.size() / scenarios();
  std::vector<double> sum(stride, 0);
  for (size_t i = 0; i < price.size(); ++i) sum[i % stride] += price[i];
  return sum;
}

const double* Node::own_price(size_t unit, const std::vector<double>& held) const {
  if (role[unit] != Role::kTurns) return held.data();
  return price.data() + scenario[unit] * held.size();
}

Node root_of(const Household& house, std::vector<Live> live) {
  Node root;
  root.live = std::move(live);
  root.role.assign(house.units.size(), Role::kOpen);
  root.scenario.assign(house.units.size(), 0);
  root.price.assign(house.stride, 0);
  for (size_t u = 0; u < house.units.size(); ++u) {
    if (house.units[u].role != Role::kOpen) root.decide(house, u, house.units[u].role);
  }
  return root;
}

}  // namespace gantry
