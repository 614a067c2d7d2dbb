// Repair, then improve. Sums are of parts of budgets, in doubles: who takes an answer from here
// checks it exactly.
#include "plan/round.h"

#include <algorithm>
#include <limits>

namespace gantry {

namespace {

constexpr double kSlack = 1e-9;  // of a budget: sums of parts are not exact
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kImproveRounds = 4;
constexpr size_t kThoroughMax = 64;  // models; of more the first change that helps is taken

// What is held on each device: by all that stays, and beside it by each unit in its turn.
struct Load {
  std::vector<double> held;   // (stride)
  std::vector<double> turn;   // (unit, stride), zeros where the unit stays
  std::vector<double> worst;  // (stride): the most of `turn`
};

class Rounding {
 public:
  Rounding(const Household& house, const std::vector<Live>& live, uint64_t* looked)
      : house_(house), live_(live), looked_(looked) {}

  // One change at a time: the least cost for what it takes off the overload; where no other way
  // takes any off, a unit that stays begins to take turns.
  bool repair(Answer* answer) {
    const size_t steps = 4 * house_.columns.size() + 16;
    for (size_t step = 0; step < steps; ++step) {
      weigh(*answer);
      if (overload(load_.worst.data(), nullptr, nullptr) <= 0) return true;
      if (!lighten(answer) && !send_away(answer)) return false;
    }
    return false;
  }

  void improve(Answer* answer) {
    for (int i = 0; i < kImproveRounds; ++i) {
      bool better = false;
      for (size_t u = 0; u < house_.units.size(); ++u) better = call_back(u, answer) || better;
      weigh(*answer);
      for (size_t m = 0; m < house_.columns.size(); ++m) better = replace(m, answer) || better;
      if (!better) return;
    }
  }

 private:
  void weigh(const Answer& answer) {
    const size_t stride = house_.stride;
    factors_ = swap_factors(house_, answer.role);
    load_.held.assign(stride, 0);
    load_.worst.assign(stride, 0);
    load_.turn.assign(house_.units.size() * stride, 0);
    for (size_t u = 0; u < house_.units.size(); ++u) {
      const bool turns = answer.role[u] == Role::kTurns;
      double* sum = turns ? load_.turn.data() + u * stride : load_.held.data();
      for (const size_t m : house_.units[u].models) {
        const double* parts = house_.parts(m, answer.pick[m]);
        for (size_t d = 0; d < stride; ++d) sum[d] += parts[d];
      }
      if (!turns) continue;
      for (size_t d = 0; d < stride; ++d) load_.worst[d] = std::max(load_.worst[d], sum[d]);
    }
  }

  // Over the budgets with `row` beside what is held, after `out` was replaced by `in`.
  double overload(const double* row, const double* out, const double* in) const {
    double sum = 0;
    for (size_t d = 0; d < house_.stride; ++d) {
      double part = load_.held[d] + row[d];
      if (out != nullptr) part += in[d] - out[d];
      if (part > 1 + kSlack) sum += part - 1;
    }
    return sum;
  }

  bool stays(const Answer& answer, size_t model) const {
    return answer.role[house_.columns[model].unit] == Role::kStays;
  }
  const double* row_of(const Answer& answer, size_t model) const {
    const size_t unit = house_.columns[model].unit;
    return stays(answer, model) ? load_.worst.data() : load_.turn.data() + unit * house_.stride;
  }
  std::span<const uint32_t> list_of(const Answer& answer, size_t model) const {
    return stays(answer, model) ? live_[model].stays : live_[model].turns;
  }
  double cost(size_t model, uint32_t way) const {
    const Column& column = house_.columns[model];
    return column.cost[way] + factors_[column.unit] * column.swap[way];
  }

  bool lighten(Answer* answer) {
    double least = kInfinity;
    size_t model = 0;
    uint32_t way = 0;
    const size_t models = house_.columns.size();
    for (size_t i = 0; i < models; ++i) {
      if (models > kThoroughMax && least < kInfinity) break;
      const size_t m = (first_ + i) % models;
      const double* row = row_of(*answer, m);
      const double before = overload(row, nullptr, nullptr);
      if (before <= 0) continue;
      const double* out = house_.parts(m, answer->pick[m]);
      const double cost_now = cost(m, answer->pick[m]);
      *looked_ += list_of(*answer, m).size();
      for (const uint32_t w : list_of(*answer, m)) {
        const double taken = before - overload(row, out, house_.parts(m, w));
        if (taken <= kSlack) continue;
        const double price = std::max(0.0, cost(m, w) - cost_now) / taken;
        if (price >= least) continue;
        least = price;
        model = m;
        way = w;
      }
    }
    if (least == kInfinity) return false;
    answer->pick[model] = way;
    first_ = model + 1;
    return true;
  }

  bool send_away(Answer* answer) {
    double most = 0;
    size_t unit = house_.units.size();
    for (size_t u = 0; u < house_.units.size(); ++u) {
      if (answer->role[u] != Role::kStays || house_.units[u].role == Role::kStays) continue;
      double over = 0;
      for (const size_t m : house_.units[u].models) {
        if (live_[m].turns.empty()) over = -1e300;
        const double* parts = house_.parts(m, answer->pick[m]);
        for (size_t d = 0; d < house_.stride; ++d) {
          if (load_.held[d] + load_.worst[d] > 1 + kSlack) over += parts[d];
        }
      }
      if (over <= most) continue;
      most = over;
      unit = u;
    }
    if (unit == house_.units.size()) return false;
    answer->role[unit] = Role::kTurns;
    return true;
  }

  // The cheapest way of one model that fits where the others are as they are.
  bool replace(size_t model, Answer* answer) {
    const double* row = row_of(*answer, model);
    const double* out = house_.parts(model, answer->pick[model]);
    double least = cost(model, answer->pick[model]);
    uint32_t way = answer->pick[model];
    *looked_ += list_of(*answer, model).size();
    for (const uint32_t w : list_of(*answer, model)) {
      if (cost(model, w) >= least || overload(row, out, house_.parts(model, w)) > 0) continue;
      least = cost(model, w);
      way = w;
    }
    if (way == answer->pick[model]) return false;
    answer->pick[model] = way;
    weigh(*answer);
    return true;
  }

  // A unit that takes turns stays instead, where that fits and costs less.
  bool call_back(size_t unit, Answer* answer) {
    if (answer->role[unit] != Role::kTurns || house_.units[unit].role != Role::kOpen) return false;
    Answer other = *answer;
    other.role[unit] = Role::kStays;
    for (const size_t m : house_.units[unit].models) {
      if (live_[m].stays.empty()) return false;
    }
    // In the least of its ways first, then as well as the others leave room for.
    for (const size_t m : house_.units[unit].models) other.pick[m] = smallest(m);
    weigh(other);
    if (overload(load_.worst.data(), nullptr, nullptr) > 0) return false;
    for (const size_t m : house_.units[unit].models) replace(m, &other);
    other.cost = cost_of(house_, other);
    if (other.cost >= cost_of(house_, *answer)) return false;
    *answer = std::move(other);
    return true;
  }

  // The way whose largest part of a budget is smallest.
  uint32_t smallest(size_t model) const {
    double least = kInfinity;
    uint32_t way = live_[model].stays.front();
    *looked_ += live_[model].stays.size();
    for (const uint32_t w : live_[model].stays) {
      const double* parts = house_.parts(model, w);
      const double most = *std::max_element(parts, parts + house_.stride);
      if (most >= least) continue;
      least = most;
      way = w;
    }
    return way;
  }

  const Household& house_;
  const std::vector<Live>& live_;
  uint64_t* looked_;
  Load load_;
  std::vector<double> factors_;
  size_t first_ = 0;  // where the next look for a change begins
};

}  // namespace

void settle(const Household& house, Answer* answer) {
  if (std::ranges::count(answer->role, Role::kTurns) != 1) return;
  const auto unit = std::ranges::find(answer->role, Role::kTurns) - answer->role.begin();
  if (house.units[static_cast<size_t>(unit)].role == Role::kOpen) {
    answer->role[static_cast<size_t>(unit)] = Role::kStays;
  }
}

std::optional<Answer> round_off(const Household& house, const std::vector<Live>& live,
                                Answer start, uint64_t* looked) {
  Rounding rounding(house, live, looked);
  if (!rounding.repair(&start)) return std::nullopt;
  rounding.improve(&start);
  settle(house, &start);
  if (!fits(house, start)) return std::nullopt;
  start.cost = cost_of(house, start);
  return start;
}

}  // namespace gantry
