// Lagrange's bound at the best prices. They come from the cheapest blend of few ways of each model;
// the ways that are cheapest at these prices join the few, until none is new. Only what all ways
// say counts as a bound: it holds at any prices, so nothing hangs on how exact the blend is.
#include "plan/bound.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gantry {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1e-14;  // of all terms of a sum
constexpr size_t kFew = 4;           // ways of a model that one look at all of them adds
constexpr double kOverCost = 1e4;    // of the cut, for a whole budget too much
constexpr double kNear = 0.05;       // of what is missing to the cut
constexpr size_t kBlendRowsMax = 640;  // the work grows with its square

// Adds the ways to the few where they are new; false where none is.
bool widen(const std::vector<std::vector<uint32_t>>& ways, std::vector<std::vector<uint32_t>>* few,
           Blend* blend) {
  bool wider = false;
  for (size_t m = 0; m < ways.size(); ++m) {
    for (const uint32_t w : ways[m]) {
      if (std::ranges::find((*few)[m], w) != (*few)[m].end()) continue;
      (*few)[m].push_back(w);
      blend->add(m, w);
      wider = true;
    }
  }
  return wider;
}

}  // namespace

double rounded_down(double sum, double terms) { return sum - kRounding * terms; }

Least Bound::least_of(size_t model, std::span<const uint32_t> ways, const double* price,
                      double factor) const {
  const Column& column = house_.columns[model];
  const double swap = factor * column.swap_least;
  Least least;
  size_t i = 0;
  for (; i < ways.size() && column.cost[ways[i]] + swap < least.value; ++i) {
    const double sum = paid(model, ways[i], price, factor);
    if (sum < least.value) least = {sum, ways[i]};
  }
  *looked_ += i;
  return least;
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

void Bound::evaluate(const Node& node, const std::vector<double>& factors, Priced* now,
                     std::vector<std::vector<uint32_t>>* cheapest) const {
  const std::vector<double> held = node.held_price();
  double value = 0;
  for (size_t u = 0; u < house_.units.size(); ++u) {
    const bool turns = node.role[u] == Role::kTurns;
    const double* own = node.own_price(u, held);
    double sum = 0;
    for (const size_t m : house_.units[u].models) {
      const auto ways = turns ? node.live[m].turns : node.live[m].stays;
      const Least least =
          cheapest_of(m, ways, own, turns ? factors[u] : 0, &(*cheapest)[m]);
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

// least_of(), and the kFew ways that pay least, in their order.
Least Bound::cheapest_of(size_t model, std::span<const uint32_t> ways, const double* price,
                         double factor, std::vector<uint32_t>* out) const {
  const Column& column = house_.columns[model];
  const double swap = factor * column.swap_least;
  std::array<Least, kFew> few;  // ascending
  size_t looked = 0;
  for (; looked < ways.size() && column.cost[ways[looked]] + swap < few.back().value; ++looked) {
    const double sum = paid(model, ways[looked], price, factor);
    if (sum >= few.back().value) continue;
    size_t i = kFew - 1;
    for (; i > 0 && sum < few[i - 1].value; --i) few[i] = few[i - 1];
    few[i] = {sum, ways[looked]};
  }
  *looked_ += looked;
  out->clear();
  for (const Least& one : few) {
    if (!std::isinf(one.value)) out->push_back(one.way);
  }
  return few.front();
}

void Bound::raise(Node* node, int rounds, double cut, Raised* out) const {
  const std::vector<double> factors = least_factors(*node);
  *out = {};
  out->few.resize(house_.columns.size());
  Node at = *node;
  Priced now;
  begin(at, factors, &now);
  std::vector<std::vector<uint32_t>> cheapest(house_.columns.size());
  evaluate(at, factors, &now, &cheapest);
  out->priced = now;
  node->bound = std::max(node->bound, now.value);
  Blend blend(house_, at, factors, now.unit_turns, kOverCost * cut);
  for (int i = 0; i < rounds && node->bound < cut && blend.rows() <= kBlendRowsMax; ++i) {
    if (!widen(cheapest, &out->few, &blend) || !blend.solve(looked_)) break;
    at.price = blend.price();
    evaluate(at, factors, &now, &cheapest);
    node->bound = std::max(node->bound, now.value);
    if (now.value > out->priced.value) {
      out->priced = now;
      node->price = at.price;
    }
    if (blend.cost() - out->priced.value <= kNear * (cut - out->priced.value)) break;
  }
  if (!blend.solved()) return;
  out->blend = blend.fractions();
  for (size_t u = 0; u < house_.units.size(); ++u) out->away.push_back(blend.away(u));
}

}  // namespace gantry
