// How the least cost is found and proven.
//
// A node of the search says for some units that they stay or take turns, leaves the others open,
// and holds for each model the ways that may still be part of something better than the best
// answer so far. All that is loaded at once beside one unit in its turn is a scenario: its bytes
// must be within every budget.
//
// Bound. Each scenario and device has a price for the whole of its budget, which models pay for
// their part of it. A model that stays is in all scenarios and pays the sum of prices, one that
// takes turns pays those of its own scenario. Whatever the prices, the least that each model can
// pay with its cost, summed, less all prices, is at most the cost of any answer (Lagrange): no
// constraint joins the models any more. An open unit pays the less of two: staying, or its cost in
// turn, unpriced, with the least swaps that it can have. The prices that say most are those of the
// cheapest blend of fractions of ways, a linear program (blend.cc); a node begins at its parent's.
//
// Pruning. With what a model pays more for a way than for its cheapest, the bound says what an
// answer with this way costs at least: ways, and roles of units, that cannot be better are
// dropped, as are those that do not fit beside the least of the others. Once all roles are said,
// so are ways beside which others that fit cost too much (pairs.cc): where large models compete,
// fractions of their ways say little.
//
// Branching. Of more than kSetUnitsMax open units on the one whose role the blend splits most; of
// fewer, on every set of units that take turns: what swaps cost depends on the whole set,
// so each gets a bound of its own (sets.cc), and the least is searched first, but only for a
// while: another may soon have an answer that ends most of its branches. Then on ways: those that
// hold more of a device than the model's blend does, and those that hold less.
// Where few combinations are left they are all tried, cheapest first, under the same bound: models
// that stay one after another, then each unit that takes turns by itself, as these do not meet.
//
// Prices, bounds and parts are doubles. They only decide what is not looked at, with room for their
// rounding; every answer is checked in whole bytes. No clock, no chance: ties go to the first.
#include "plan/search.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <utility>

#include "plan/bound.h"
#include "plan/fill.h"
#include "plan/pairs.h"
#include "plan/round.h"
#include "plan/sets.h"

namespace gantry {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr uint64_t kWaysPerNode = 256;
constexpr double kTolerance = 1e-12;   // what is better by less is not looked for
constexpr double kFitSlack = 1e-9;     // of a budget
constexpr size_t kDepthMax = 400;
constexpr int kRootRounds = 20, kNodeRounds = 12;
constexpr double kFewCombinations = 3e4;
// keep_pairs() helped when it left no more of the ways, or took so much of what the bound lacked.
constexpr double kPairsLeft = 0.5, kPairsRaised = 0.2;
// A set is left alone after so many ways looked at, and taken up again when others were tried.
constexpr uint64_t kFirstTry = 1500 * kWaysPerNode;
constexpr double kLater = 0.25;  // of what its bound is below the best answer

class Search {
 public:
  Search(const Household& house, uint64_t nodes_max)
      : house_(house),
        models_(house.columns.size()),
        units_(house.units.size()),
        looked_max_(nodes_max > UINT64_MAX / kWaysPerNode ? UINT64_MAX
                                                          : nodes_max * kWaysPerNode),
        bounds_(house, &looked_) {}

  Found run() {
    std::vector<std::vector<uint32_t>> all(models_);
    std::vector<Live> live(models_);
    for (size_t m = 0; m < models_; ++m) {
      const Column& column = house_.columns[m];
      all[m].resize(column.way.size());
      std::iota(all[m].begin(), all[m].end(), 0);
      live[m] = {all[m], all[m]};
      ceiling_ += *std::ranges::max_element(column.cost);
      ceiling_ += *std::ranges::max_element(column.swap);
    }
    ceiling_ += 1;  // above every answer, also where nothing costs anything
    Node root = root_of(house_, std::move(live));
    bound_ = kInfinity;
    start(root);
    visit(std::move(root), 0);
    Found found;
    if (best_) best_->cost = cost_of(house_, *best_);
    found.open = open_;
    found.bound = best_ ? std::min(best_->cost, bound_) : bound_;
    if (!open_ && best_) found.bound = best_->cost;
    found.best = std::move(best_);
    found.nodes = looked_ / kWaysPerNode + 1;
    return found;
  }

 private:
  double cut() const {
    return best_ ? best_->cost - kTolerance * best_->cost : ceiling_;
  }
  bool spent() const { return looked_ >= looked_max_; }

  void offer(Answer answer) {
    settle(house_, &answer);
    if (!fits(house_, answer)) return;
    answer.cost = cost_of(house_, answer);
    if (!best_ || answer.cost < best_->cost) best_ = std::move(answer);
  }

  // Something to beat: everything at its cheapest, and as much in turn as may be.
  void start(const Node& root) {
    for (const Role wanted : {Role::kStays, Role::kTurns}) {
      Answer answer{std::vector<uint32_t>(models_), root.role, 0};
      std::ranges::replace(answer.role, Role::kOpen, wanted);
      for (size_t m = 0; m < models_; ++m) {
        const auto& cost = house_.columns[m].cost;
        answer.pick[m] = static_cast<uint32_t>(std::ranges::min_element(cost) - cost.begin());
      }
      if (auto rounded = round_off(house_, root.live, std::move(answer), &looked_)) {
        offer(std::move(*rounded));
      }
    }
  }

  // Gives up on a node that was not finished.
  void leave(double bound) {
    open_ = true;
    bound_ = std::min(bound_, bound);
  }

  void visit(Node node, size_t depth) {
    if (node.bound >= cut()) return;
    paused_ = paused_ || looked_ >= pause_;
    if (paused_) return;
    if ((spent() && depth > 0) || depth > kDepthMax) return leave(node.bound);
    std::deque<std::vector<uint32_t>> lists;  // what live spans of this node and below point to
    Raised raised;
    for (int pass = 0; pass < 3; ++pass) {
      bounds_.raise(&node, depth == 0 ? kRootRounds : kNodeRounds, cut(), &raised);
      if (node.bound >= cut()) return;
      if (pass == 0) try_rounding(node, raised);
      const double before = size_of(node);
      if (!tighten(&node, raised.priced, &lists)) return;
      if (size_of(node) > 0.5 * before) break;
    }
    if (node.turning == 1 && !node.open() && only_by_choice(node)) return;
    if (spent()) return leave(node.bound);
    if (!node.open() && node.pairs && !try_pairs(&node, &lists)) return;
    const auto open = static_cast<size_t>(std::ranges::count(node.role, Role::kOpen));
    if (open > kSetUnitsMax) return branch_on_role(node, raised, depth);
    if (open > 0) return branch_on_sets(node, depth);
    if (combinations(node) <= kFewCombinations) return try_all(node);
    branch_on_ways(std::move(node), raised.blend, depth);
  }

  // The only unit in turn need not be: it is the same as where it stays.
  bool only_by_choice(const Node& node) const {
    const auto unit = std::ranges::find(node.role, Role::kTurns) - node.role.begin();
    return house_.units[static_cast<size_t>(unit)].role == Role::kOpen;
  }

  static double size_of(const Node& node) {
    double size = 1;
    for (size_t m = 0; m < node.live.size(); ++m) {
      size += static_cast<double>(node.live[m].stays.size() + node.live[m].turns.size());
    }
    return size;
  }

  // From the ways that have most part in the blend.
  void try_rounding(const Node& node, const Raised& raised) {
    const Priced& now = raised.priced;
    Answer answer{std::vector<uint32_t>(models_), node.role, 0};
    std::vector<Live> live(models_);
    for (size_t u = 0; u < units_; ++u) {
      answer.role[u] = now.away[u] ? Role::kTurns : Role::kStays;
      for (const size_t m : house_.units[u].models) {
        answer.pick[m] = (now.away[u] ? now.turn_pick : now.stay_pick)[m];
        (node.role[u] == Role::kTurns ? live[m].turns : live[m].stays) = raised.few[m];
        if (node.role[u] == Role::kOpen) live[m].turns = node.live[m].turns;
      }
    }
    std::vector<double> most(models_, 0);
    for (const Fraction& one : raised.blend) {
      if (one.part <= most[one.model] || now.away[house_.columns[one.model].unit] !=
                                             (node.role[house_.columns[one.model].unit] ==
                                              Role::kTurns)) {
        continue;
      }
      most[one.model] = one.part;
      answer.pick[one.model] = one.way;
    }
    if (auto rounded = round_off(house_, live, std::move(answer), &looked_)) {
      offer(std::move(*rounded));
    }
  }

  // ---- pruning -----------------------------------------------------------------------------

  // Of each model in its role, and of open ones none: the least part it can hold.
  struct Floor {
    std::vector<double> model;  // (model, stride)
    std::vector<double> held;   // (stride)
    std::vector<double> turn;   // (scenario, stride)
    std::vector<double> worst;  // (stride): the most of `turn`
  };
  Floor floor_of(const Node& node) const {
    const size_t stride = house_.stride, rows = node.scenarios();
    Floor floor{std::vector<double>(models_ * stride, 0), std::vector<double>(stride, 0),
                std::vector<double>(rows * stride, 0), std::vector<double>(stride, 0)};
    for (size_t m = 0; m < models_; ++m) {
      const size_t u = house_.columns[m].unit;
      if (node.role[u] == Role::kOpen) continue;
      const bool turns = node.role[u] == Role::kTurns;
      double* least = floor.model.data() + m * stride;
      std::fill(least, least + stride, kInfinity);
      for (const uint32_t w : turns ? node.live[m].turns : node.live[m].stays) {
        for (size_t d = 0; d < stride; ++d) least[d] = std::min(least[d], house_.parts(m, w)[d]);
      }
      double* sum = floor.held.data();
      if (turns) {
        sum = floor.turn.data() + node.scenario[u] * stride;
      }
      for (size_t d = 0; d < stride; ++d) sum[d] += least[d];
    }
    for (size_t i = 0; i < floor.turn.size(); ++i) {
      floor.worst[i % stride] = std::max(floor.worst[i % stride], floor.turn[i]);
    }
    return floor;
  }

  // What a model may hold at most in a role beside the least of all others in its scenarios.
  std::vector<double> room_of(const Node& node, const Floor& floor, size_t model,
                              Role role) const {
    const size_t u = house_.columns[model].unit;
    const std::vector<double> nothing(house_.stride, 0);
    const double* beside = role == Role::kStays ? floor.worst.data() : nothing.data();
    if (node.role[u] == Role::kTurns) beside = floor.turn.data() + node.scenario[u] * house_.stride;
    std::vector<double> room(house_.stride);
    for (size_t d = 0; d < house_.stride; ++d) {
      room[d] = 1 + kFitSlack - floor.held[d] - beside[d] + floor.model[model * house_.stride + d];
    }
    return room;
  }

  // Keeps the ways that pay at most `limit` and hold at most `room`; a list that hardly shrinks
  // stays as it is.
  void keep(size_t model, std::span<const uint32_t>* ways, const double* price, double factor,
            double limit, const double* room, std::deque<std::vector<uint32_t>>* lists) {
    std::vector<uint32_t> kept;
    const Column& column = house_.columns[model];
    const double swap = factor * column.swap_least;
    size_t i = 0;
    for (; i < ways->size(); ++i) {
      const uint32_t w = (*ways)[i];
      if (column.cost[w] + swap > limit) break;
      if (bounds_.paid(model, w, price, factor) > limit) continue;
      const double* part = house_.parts(model, w);
      bool inside = true;
      for (size_t d = 0; d < house_.stride && room != nullptr; ++d) {
        inside = inside && part[d] <= room[d];
      }
      if (inside) kept.push_back(w);
    }
    looked_ += i;
    if (kept.size() == ways->size()) return;
    lists->push_back(std::move(kept));
    *ways = lists->back();
  }

  // Drops roles and ways that cannot be part of a better answer; false where none can.
  bool tighten(Node* node, const Priced& now, std::deque<std::vector<uint32_t>>* lists) {
    const double slack = cut() - now.value;
    if (slack <= 0) return false;
    const std::vector<double> factors = bounds_.least_factors(*node);
    const std::vector<double> held = node->held_price();
    const std::vector<double> nothing(house_.stride, 0);
    const Floor floor = floor_of(*node);
    Node next = *node;
    for (size_t u = 0; u < units_; ++u) {
      const Role role = node->role[u];
      const double least = std::min(now.unit_stays[u], now.unit_turns[u]);
      for (const size_t m : house_.units[u].models) {
        Live& live = next.live[m];
        if (role != Role::kTurns) {
          const double limit = slack - (now.unit_stays[u] - least) + now.stays[m];
          const auto room = room_of(*node, floor, m, Role::kStays);
          keep(m, &live.stays, held.data(), 0, limit, room.data(), lists);
        }
        if (role != Role::kStays) {
          const double* own =
              role == Role::kTurns ? node->own_price(u, held) : nothing.data();
          const double limit = slack - (now.unit_turns[u] - least) + now.turns[m];
          const auto room = room_of(*node, floor, m, Role::kTurns);
          keep(m, &live.turns, own, factors[u], limit, room.data(), lists);
        }
      }
    }
    *node = std::move(next);
    return settle_roles(node);
  }

  // Ways that leave too little for others; below where it helped it is tried again.
  bool try_pairs(Node* node, std::deque<std::vector<uint32_t>>* lists) {
    const double before = size_of(*node), missing = cut() - node->bound;
    if (!keep_pairs(house_, cut(), node, &looked_, lists) || node->bound >= cut()) return false;
    node->pairs = size_of(*node) < kPairsLeft * before ||
                  cut() - node->bound < (1 - kPairsRaised) * missing;
    return true;
  }

  // Open units of which a model has no way left in one role take the other.
  bool settle_roles(Node* node) const {
    for (size_t u = 0; u < units_; ++u) {
      bool may_stay = true, may_turn = true;
      for (const size_t m : house_.units[u].models) {
        may_stay = may_stay && !node->live[m].stays.empty();
        may_turn = may_turn && !node->live[m].turns.empty();
      }
      if (node->role[u] == Role::kStays && !may_stay) return false;
      if (node->role[u] == Role::kTurns && !may_turn) return false;
      if (node->role[u] != Role::kOpen) continue;
      if (!may_stay && !may_turn) return false;
      if (!may_turn) node->decide(house_, u, Role::kStays);
      if (!may_stay) node->decide(house_, u, Role::kTurns);
    }
    return true;
  }

  // ---- branching ---------------------------------------------------------------------------

  void branch_on_role(const Node& node, const Raised& raised, size_t depth) {
    const Priced& now = raised.priced;
    size_t unit = units_;
    double most = -1, difference = -1;
    for (size_t u = 0; u < units_; ++u) {
      if (node.role[u] != Role::kOpen) continue;
      const double away = raised.away.empty() ? 0 : raised.away[u];
      const double unsure = std::min(away, 1 - away);
      const double gap = std::abs(now.unit_stays[u] - now.unit_turns[u]);
      if (unsure < most || (unsure == most && gap <= difference)) continue;
      most = unsure;
      difference = gap;
      unit = u;
    }
    const double least = std::min(now.unit_stays[unit], now.unit_turns[unit]);
    const bool turn_first = now.unit_turns[unit] < now.unit_stays[unit];
    for (const bool turns : {turn_first, !turn_first}) {
      Node child = node;
      const double pays = turns ? now.unit_turns[unit] : now.unit_stays[unit];
      child.bound = std::max(node.bound, now.value + (pays - least));
      child.decide(house_, unit, turns ? Role::kTurns : Role::kStays);
      visit(std::move(child), depth + 1);
    }
  }

  // The set with the least bound next: first its prices are looked for, which raises the bounds of
  // other sets too; where it is still the least, it is searched.
  void branch_on_sets(const Node& node, size_t depth) {
    Sets sets(house_, bounds_, node);
    sets.raise(node, node.held_price());
    for (;;) {
      std::erase_if(sets.sets, [&](const RoleSet& set) { return set.bound >= cut(); });
      const auto next = std::ranges::min_element(sets.sets, {}, [&](const RoleSet& set) {
        return set.bound + (set.tried ? kLater * (cut() - set.bound) : 0);
      });
      if (next == sets.sets.end()) return;
      if (spent()) return leave(std::ranges::min(sets.sets, {}, &RoleSet::bound).bound);
      Node child = node;
      for (size_t u = 0; u < units_; ++u) {
        if (node.role[u] == Role::kOpen) child.decide(house_, u, next->role[u]);
      }
      child.bound = next->bound;
      if (next->price.empty()) {
        Raised raised;
        bounds_.raise(&child, kNodeRounds, cut(), &raised);
        next->bound = child.bound;
        if (child.bound < cut()) try_rounding(child, raised);
        sets.raise(node, child.held_price());
        next->price = std::move(child.price);
        continue;
      }
      child.price = next->price;
      pause_ = next->tried || sets.sets.size() == 1 ? UINT64_MAX : looked_ + kFirstTry;
      next->tried = true;
      visit(std::move(child), depth + 1);
      pause_ = UINT64_MAX;
      if (!std::exchange(paused_, false)) sets.sets.erase(next);
    }
  }

  std::span<const uint32_t> ways_of(const Node& node, size_t model) const {
    const bool turns = node.role[house_.columns[model].unit] == Role::kTurns;
    return turns ? node.live[model].turns : node.live[model].stays;
  }

  // Where to cut: the model and device whose part varies most in the blend, weighed by its price.
  void branch_on_ways(Node node, const std::vector<Fraction>& blend, size_t depth) {
    const std::vector<double> held = node.held_price();
    const size_t stride = house_.stride;
    size_t model = models_, device = 0;
    double most = 0, at = 0;
    std::vector<double> mean(models_ * stride, 0), square(models_ * stride, 0);
    for (const Fraction& one : blend) {
      const double* parts = house_.parts(one.model, one.way);
      for (size_t d = 0; d < stride; ++d) {
        mean[one.model * stride + d] += one.part * parts[d];
        square[one.model * stride + d] += one.part * parts[d] * parts[d];
      }
    }
    for (size_t m = 0; m < models_; ++m) {
      if (ways_of(node, m).size() < 2) continue;
      const size_t u = house_.columns[m].unit;
      const double* own = node.own_price(u, held);
      for (size_t d = 0; d < stride; ++d) {
        const double middle = mean[m * stride + d];
        const double spread = square[m * stride + d] - middle * middle;
        const double score = own[d] * own[d] * spread;
        if (score <= most) continue;
        most = score;
        model = m;
        device = d;
        at = middle;
      }
    }
    std::vector<uint32_t> low, high;
    if (model < models_) {
      for (const uint32_t w : ways_of(node, model)) {
        (house_.parts(model, w)[device] <= at ? low : high).push_back(w);
      }
    }
    if (low.empty() || high.empty()) halve(node, &model, &low, &high);
    visit_halves(std::move(node), model, low, high, depth);
  }

  // The longest list, cut in the middle of its widest device, else of the list.
  void halve(const Node& node, size_t* model, std::vector<uint32_t>* low,
             std::vector<uint32_t>* high) const {
    *model = 0;
    for (size_t m = 1; m < models_; ++m) {
      if (ways_of(node, m).size() > ways_of(node, *model).size()) *model = m;
    }
    const auto ways = ways_of(node, *model);
    double widest = 0, at = 0;
    size_t device = 0;
    for (size_t d = 0; d < house_.stride; ++d) {
      double least = kInfinity, most = 0;
      for (const uint32_t w : ways) {
        least = std::min(least, house_.parts(*model, w)[d]);
        most = std::max(most, house_.parts(*model, w)[d]);
      }
      if (most - least <= widest) continue;
      widest = most - least;
      at = (most + least) / 2;
      device = d;
    }
    low->clear();
    high->clear();
    for (size_t i = 0; i < ways.size(); ++i) {
      const bool first =
          widest > 0 ? house_.parts(*model, ways[i])[device] <= at : i < ways.size() / 2;
      (first ? low : high)->push_back(ways[i]);
    }
    if (low->empty() || high->empty()) {  // a width that rounding ate
      low->assign(ways.begin(), ways.begin() + static_cast<std::ptrdiff_t>(ways.size() / 2));
      high->assign(ways.begin() + static_cast<std::ptrdiff_t>(ways.size() / 2), ways.end());
    }
  }

  void visit_halves(Node node, size_t model, const std::vector<uint32_t>& low,
                    const std::vector<uint32_t>& high, size_t depth) {
    const size_t u = house_.columns[model].unit;
    const bool turns = node.role[u] == Role::kTurns;
    const std::vector<double> held = node.held_price();
    const double* own = node.own_price(u, held);
    const double factor = turns ? bounds_.least_factors(node)[u] : 0;
    const bool low_first = bounds_.least_of(model, low, own, factor).value <=
                           bounds_.least_of(model, high, own, factor).value;
    for (const bool is_low : {low_first, !low_first}) {
      Node child = node;
      (turns ? child.live[model].turns : child.live[model].stays) = is_low ? low : high;
      visit(std::move(child), depth + 1);
    }
  }

  // ---- trying all --------------------------------------------------------------------------

  double combinations(const Node& node) const {
    double held = 1, beside = 0, largest = 1;
    for (size_t u = 0; u < units_; ++u) {
      double product = 1, longest = 1;
      for (const size_t m : house_.units[u].models) {
        const double ways = static_cast<double>(ways_of(node, m).size());
        product *= ways;
        longest = std::max(longest, ways);
      }
      if (node.role[u] == Role::kTurns) {
        beside += product / longest;
      } else {
        held *= product;
        largest = std::max(largest, longest);
      }
    }
    return node.turning == 0 ? held / largest : held * std::max(1.0, beside);
  }

  void try_all(const Node& node) {
    Filling filling;
    filling.house = &house_;
    filling.role = node.role;
    filling.factors = swap_factors(house_, node.role);
    filling.looked = &looked_;
    filling.looked_max = looked_max_;
    const std::vector<double> held = node.held_price();
    double bound = 0;
    for (size_t m = 0; m < models_; ++m) {
      const size_t u = house_.columns[m].unit;
      const bool turns = node.role[u] == Role::kTurns;
      filling.live.push_back(ways_of(node, m));
      std::vector<double>& paid_by = filling.paid.emplace_back();
      if (!turns) {
        for (const uint32_t w : ways_of(node, m)) {
          paid_by.push_back(bounds_.paid(m, w, held.data(), 0));
        }
      }
      const double* own = node.own_price(u, held);
      bound += bounds_.least_of(m, ways_of(node, m), own, filling.factors[u]).value;
    }
    double prices = 0;
    for (const double p : held) prices += p;
    filling.bound = rounded_down(bound - prices, bound + prices);
    bool whole = true;
    auto answer = fill(filling, cut(), &whole);
    if (answer) offer(std::move(*answer));
    if (!whole) leave(node.bound);
  }

  const Household& house_;
  const size_t models_, units_;
  const uint64_t looked_max_;
  uint64_t looked_ = 0;
  uint64_t pause_ = UINT64_MAX;  // the set that is searched is left after so much was looked at
  bool paused_ = false;
  const Bound bounds_;
  double ceiling_ = 0;
  std::optional<Answer> best_;
  double bound_ = 0;
  bool open_ = false;
};

}  // namespace

Found search(const Household& house, uint64_t nodes_max) {
  return Search(house, nodes_max).run();
}

}  // namespace gantry
