// Lagrange's bound by subgradients. Most rounds look at few ways of each model, those that were
// cheapest when all were looked at last; only what all ways say counts as a bound.
#include "plan/bound.h"

#include <algorithm>
#include <cmath>

namespace gantry {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1e-14;  // of all terms of a sum
constexpr size_t kFew = 48;          // ways of a model
constexpr int kGathers = 4;
constexpr double kHopeLeast = 0.05;  // of what is missing to the cut
constexpr double kReachLeast = 0.02;  // of Polyak's step; below it rounds gain nothing

}  // namespace

double rounded_down(double sum, double terms) { return sum - kRounding * terms; }

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

Least Bound::least_of(size_t model, std::span<const uint32_t> ways, const double* price,
                      double factor) const {
  *looked_ += ways.size();
  Least least;
  for (const uint32_t w : ways) {
    const double sum = paid(model, w, price, factor);
    if (sum < least.value) least = {sum, w};
  }
  return least;
}

std::vector<double> Bound::held_price(const Node& node) const {
  std::vector<double> sum(house_.stride, 0);
  for (size_t i = 0; i < node.price.size(); ++i) sum[i % house_.stride] += node.price[i];
  return sum;
}

const double* Bound::own_price(const Node& node, size_t unit,
                               const std::vector<double>& held) const {
  if (node.role[unit] != Role::kTurns) return held.data();
  return node.price.data() + node.scenario[unit] * house_.stride;
}

std::vector<double> Bound::least_factors(const Node& node) const {
  std::vector<double> factors(house_.units.size(), 0);
  double turning = 0, least = kInfinity, second = kInfinity;
  size_t least_at = house_.units.size();
  for (size_t u = 0; u < house_.units.size(); ++u) {
    const double share = house_.units[u].share;
    if (node.role[u] == Role::kTurns) turning += share;
    if (node.role[u] != Role::kOpen) continue;
    second = std::min(second, std::max(share, least));
    if (share < least) least_at = u;
    least = std::min(least, share);
  }
  for (size_t u = 0; u < house_.units.size(); ++u) {
    if (node.role[u] == Role::kStays) continue;
    const bool turns = node.role[u] == Role::kTurns;
    const double share = house_.units[u].share;
    double all = turns ? turning : turning + share;
    if (node.turning == (turns ? 1 : 0)) all += u == least_at ? second : least;
    factors[u] = std::isinf(all) ? 0 : std::max(0.0, 1 - share / all);
  }
  return factors;
}

// What does not change with prices: open units in turn.
void Bound::begin(const Node& node, const std::vector<double>& factors, Priced* now) const {
  const size_t models = house_.columns.size(), units = house_.units.size();
  const std::vector<double> nothing(house_.stride, 0);
  now->stays.assign(models, kInfinity);
  now->turns.assign(models, kInfinity);
  now->stay_pick.assign(models, 0);
  now->turn_pick.assign(models, 0);
  now->unit_stays.assign(units, kInfinity);
  now->unit_turns.assign(units, kInfinity);
  now->away.assign(units, false);
  for (size_t u = 0; u < units; ++u) {
    if (node.role[u] != Role::kOpen) continue;
    now->unit_turns[u] = 0;
    for (const size_t m : house_.units[u].models) {
      const Least least = least_of(m, node.live[m].turns, nothing.data(), factors[u]);
      now->turns[m] = least.value;
      now->turn_pick[m] = least.way;
      now->unit_turns[u] += least.value;
    }
  }
}

void Bound::evaluate(const Node& node, const std::vector<Live>& live,
                     const std::vector<double>& factors, Priced* now, Few* few) const {
  const std::vector<double> held = held_price(node);
  double value = 0;
  for (size_t u = 0; u < house_.units.size(); ++u) {
    const bool turns = node.role[u] == Role::kTurns;
    const double* own = own_price(node, u, held);
    double sum = 0;
    for (const size_t m : house_.units[u].models) {
      const auto ways = turns ? live[m].turns : live[m].stays;
      const double factor = turns ? factors[u] : 0;
      const Least least =
          few == nullptr
              ? least_of(m, ways, own, factor)
              : gather(m, ways, own, factor, few,
                       turns ? &few->live[m].turns : &few->live[m].stays);
      (turns ? now->turns : now->stays)[m] = least.value;
      (turns ? now->turn_pick : now->stay_pick)[m] = least.way;
      sum += least.value;
    }
    (turns ? now->unit_turns : now->unit_stays)[u] = sum;
    now->away[u] = turns || (node.role[u] == Role::kOpen && now->unit_turns[u] < sum);
    value += turns ? sum : std::min(sum, now->unit_turns[u]);
  }
  double prices = 0;
  for (const double p : held) prices += p;
  now->value = rounded_down(value - prices, value + prices);
}

// How much more than its budget each scenario holds at these picks.
std::vector<double> Bound::gradient(const Node& node, const Priced& now) const {
  const size_t stride = house_.stride;
  std::vector<double> over(node.scenarios() * stride, 0), held(stride, -1.0);
  for (size_t u = 0; u < house_.units.size(); ++u) {
    const bool turns = node.role[u] == Role::kTurns;
    if (!turns && now.away[u]) continue;
    double* sum = turns ? over.data() + node.scenario[u] * stride : held.data();
    for (const size_t m : house_.units[u].models) {
      const double* part = house_.parts(m, (turns ? now.turn_pick : now.stay_pick)[m]);
      for (size_t d = 0; d < stride; ++d) sum[d] += part[d];
    }
  }
  for (size_t i = 0; i < over.size(); ++i) over[i] += held[i % stride];
  return over;
}

void Bound::watch(const Node& node, const Priced& now, Drift* drift) const {
  const size_t stride = house_.stride, models = house_.columns.size();
  const double weight = drift->mean.empty() ? 1 : 0.2;
  drift->mean.resize(models * stride);
  drift->square.resize(models * stride);
  drift->away.resize(house_.units.size());
  for (size_t m = 0; m < models; ++m) {
    const bool turns = node.role[house_.columns[m].unit] == Role::kTurns;
    const double* part = house_.parts(m, (turns ? now.turn_pick : now.stay_pick)[m]);
    for (size_t d = 0; d < stride; ++d) {
      double& mean = drift->mean[m * stride + d];
      double& square = drift->square[m * stride + d];
      mean += weight * (part[d] - mean);
      square += weight * (part[d] * part[d] - square);
    }
  }
  for (size_t u = 0; u < house_.units.size(); ++u) {
    drift->away[u] += weight * ((now.away[u] ? 1 : 0) - drift->away[u]);
  }
}

// least_of(), and adds the ways that pay least to `out`, a list of `few`.
Least Bound::gather(size_t model, std::span<const uint32_t> ways, const double* price,
                    double factor, Few* few, std::span<const uint32_t>* out) const {
  if (ways.size() <= 2 * kFew) {
    *out = ways;
    return least_of(model, ways, price, factor);
  }
  *looked_ += 2 * ways.size();
  Least least;
  std::vector<std::pair<double, uint32_t>> all;
  all.reserve(ways.size());
  for (const uint32_t w : ways) {
    all.emplace_back(paid(model, w, price, factor), w);
    if (all.back().first < least.value) least = {all.back().first, w};
  }
  std::nth_element(all.begin(), all.begin() + kFew, all.end());
  std::vector<uint32_t> list(out->begin(), out->end());
  for (size_t i = 0; i < kFew; ++i) list.push_back(all[i].second);
  std::ranges::sort(list);
  list.erase(std::unique(list.begin(), list.end()), list.end());
  few->lists.push_back(std::move(list));
  *out = few->lists.back();
  return least;
}

// Rounds over the few ways alone. Leaves the best prices in the node, not its bound.
void Bound::walk(Node* node, int rounds, double cut, const std::vector<double>& factors,
                 Priced* best, Raised* out) const {
  Priced now = *best;
  Node at = *node;
  best->value = -kInfinity;
  double reach = 1;
  int stalled = 0;
  for (int i = 0; i < rounds; ++i) {
    evaluate(at, out->few.live, factors, &now, nullptr);
    watch(at, now, &out->drift);
    if (now.value > best->value) {
      if (now.value - best->value > 1e-4 * (cut - best->value)) stalled = 0;
      *best = now;
      node->price = at.price;
    } else if (++stalled >= 3) {
      stalled = 0;
      reach /= 2;
      at.price = node->price;
      now = *best;
    }
    if (best->value >= cut || reach < kReachLeast) return;
    const std::vector<double> over = gradient(at, now);
    double norm = 0;
    for (size_t k = 0; k < over.size(); ++k) {
      if (at.price[k] > 0 || over[k] > 0) norm += over[k] * over[k];
    }
    if (norm < 1e-18) return;
    const double step = reach * (cut - now.value) / norm;
    for (size_t k = 0; k < over.size(); ++k) {
      at.price[k] = std::max(0.0, at.price[k] + step * over[k]);
    }
  }
}

void Bound::raise(Node* node, int rounds, double cut, Raised* out) const {
  const std::vector<double> factors = least_factors(*node);
  *out = {};
  out->few.live.resize(house_.columns.size());
  Priced now;
  begin(*node, factors, &now);
  for (size_t m = 0; m < house_.columns.size(); ++m) {
    if (node->role[house_.columns[m].unit] == Role::kOpen) {
      out->few.live[m].turns = node->live[m].turns;
    }
  }
  evaluate(*node, node->live, factors, &now, &out->few);
  out->priced = now;
  node->bound = std::max(node->bound, now.value);
  std::vector<double> price = node->price;
  for (int i = 0; i < kGathers && node->bound < cut; ++i) {
    walk(node, rounds, cut, factors, &now, out);
    const double hoped = now.value;
    evaluate(*node, node->live, factors, &now, &out->few);
    node->bound = std::max(node->bound, now.value);
    if (now.value > out->priced.value) {
      out->priced = now;
      price = node->price;
    }
    if (hoped - now.value <= kHopeLeast * (cut - now.value)) break;
  }
  node->price = price;
}

}  // namespace gantry
