// Depth first. Models that stay come one after another, cheapest by price first, so that the first
// one over the bound ends its list; for what they leave, each unit that takes turns is filled by
// itself. Where nothing takes turns, the model with most ways is filled last in the same manner:
// the first of its ways, by cost, that fits is the best.
#include "plan/fill.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace gantry {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Step {
  size_t model = 0;
  std::vector<uint32_t> ways;  // in the order they are tried
  std::vector<double> cost;    // of each
  std::vector<double> more;    // what each pays above the least, for models that stay
  double least = 0;            // of cost
  std::vector<uint64_t> bytes;  // (way, device)
  std::vector<uint64_t> floor;  // (device): the least of the ways
};

class Fill {
 public:
  Fill(const Filling& filling, double cut) : in_(filling), cut_(cut) {
    devices_ = in_.house->budgets.size();
    pick_.resize(in_.live.size());
    make_steps();
  }

  std::optional<Answer> run(bool* whole) {
    std::vector<uint64_t> left = in_.house->budgets;
    hold(0, left, 0, in_.bound);
    *whole = !gave_up_;
    if (!found_) return std::nullopt;
    return Answer{best_, in_.role, cut_};
  }

 private:
  Step step_of(size_t model, bool by_price) const {
    const Column& column = in_.house->columns[model];
    const std::span<const uint32_t> live = in_.live[model];
    std::vector<double> cost, key;
    for (size_t i = 0; i < live.size(); ++i) {
      cost.push_back(column.cost[live[i]] + in_.factors[column.unit] * column.swap[live[i]]);
      key.push_back(by_price ? in_.paid[model][i] : cost.back());
    }
    std::vector<size_t> order(live.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&key](size_t i) { return key[i]; });
    Step step;
    step.model = model;
    step.least = *std::ranges::min_element(cost);
    step.floor.assign(devices_, UINT64_MAX);
    for (const size_t i : order) {
      step.ways.push_back(live[i]);
      step.cost.push_back(cost[i]);
      step.more.push_back(key[i] - key[order[0]]);
      for (size_t d = 0; d < devices_; ++d) {
        step.bytes.push_back(column.bytes[live[i] * devices_ + d]);
        step.floor[d] = std::min(step.floor[d], step.bytes.back());
      }
    }
    return step;
  }

  void make_steps() {
    const auto& units = in_.house->units;
    size_t last = in_.live.size();
    for (size_t u = 0; u < units.size(); ++u) {
      if (in_.role[u] == Role::kTurns) {
        std::vector<Step>& tail = tails_.emplace_back();
        for (const size_t m : units[u].models) tail.push_back(step_of(m, false));
        std::ranges::stable_sort(tail, {}, [](const Step& step) { return step.ways.size(); });
        continue;
      }
      for (const size_t m : units[u].models) {
        if (last == in_.live.size() || in_.live[m].size() > in_.live[last].size()) last = m;
      }
    }
    for (size_t m = 0; m < in_.live.size(); ++m) {
      if (in_.role[in_.house->columns[m].unit] == Role::kTurns) continue;
      if (tails_.empty() && m == last) continue;
      held_.push_back(step_of(m, true));
    }
    if (tails_.empty()) tails_.push_back({step_of(last, false)});
    std::ranges::stable_sort(held_, {}, [](const Step& step) { return step.ways.size(); });
    sum_rests();
  }

  // What the steps from each one on hold and cost at least.
  void sum_rests() {
    floors_.assign((held_.size() + 1) * devices_, 0);
    rests_.assign(held_.size() + 1, 0);
    for (const auto& tail : tails_) {
      std::vector<uint64_t> sum(devices_, 0);
      for (const Step& step : tail) {
        rests_[held_.size()] += step.least;
        for (size_t d = 0; d < devices_; ++d) sum[d] = add(sum[d], step.floor[d]);
      }
      for (size_t d = 0; d < devices_; ++d) {
        uint64_t& floor = floors_[held_.size() * devices_ + d];
        floor = std::max(floor, sum[d]);
      }
    }
    for (size_t k = held_.size(); k-- > 0;) {
      rests_[k] = rests_[k + 1] + held_[k].least;
      for (size_t d = 0; d < devices_; ++d) {
        floors_[k * devices_ + d] = add(floors_[(k + 1) * devices_ + d], held_[k].floor[d]);
      }
    }
  }
  static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

  bool give_up() {
    if (++*in_.looked >= in_.looked_max) gave_up_ = true;
    return gave_up_;
  }

  // Takes the bytes of one way off what is left, where at least `floor` remains.
  bool take(const uint64_t* bytes, const uint64_t* floor, const std::vector<uint64_t>& left,
            std::vector<uint64_t>* rest) const {
    rest->resize(devices_);
    for (size_t d = 0; d < devices_; ++d) {
      if (bytes[d] > left[d] || left[d] - bytes[d] < floor[d]) return false;
      (*rest)[d] = left[d] - bytes[d];
    }
    return true;
  }

  // `bound` is of all that begins with the ways taken so far.
  void hold(size_t k, const std::vector<uint64_t>& left, double cost, double bound) {
    if (k == held_.size()) return finish(left, cost);
    const Step& step = held_[k];
    std::vector<uint64_t> rest;
    for (size_t i = 0; i < step.ways.size(); ++i) {
      if (bound + step.more[i] >= cut_ || give_up()) return;
      const double sum = cost + step.cost[i];
      if (sum + rests_[k + 1] >= cut_) continue;
      const uint64_t* beyond = floors_.data() + (k + 1) * devices_;
      if (!take(step.bytes.data() + i * devices_, beyond, left, &rest)) continue;
      pick_[step.model] = step.ways[i];
      hold(k + 1, rest, sum, bound + step.more[i]);
    }
  }

  void finish(const std::vector<uint64_t>& left, double cost) {
    double rest = rests_[held_.size()];
    for (const auto& tail : tails_) {
      double least = 0;
      for (const Step& step : tail) least += step.least;
      rest -= least;
      double best = cut_ - cost - std::max(0.0, rest);
      if (!turn(tail, 0, left, 0, &best)) return;
      cost += best;
    }
    if (cost >= cut_) return;
    cut_ = cost;
    best_ = pick_;
    found_ = true;
  }

  // The cheapest ways of a unit's models from step k on, below *best; their picks stay in pick_.
  bool turn(const std::vector<Step>& tail, size_t k, const std::vector<uint64_t>& left, double cost,
            double* best) {
    const Step& step = tail[k];
    const bool last = k + 1 == tail.size();
    double rest_least = 0;
    for (size_t j = k + 1; j < tail.size(); ++j) rest_least += tail[j].least;
    const std::vector<uint64_t> nothing(devices_, 0);
    std::vector<uint64_t> rest;
    bool found = false;
    for (size_t i = 0; i < step.ways.size(); ++i) {
      if (cost + step.cost[i] + rest_least >= *best || give_up()) break;
      if (!take(step.bytes.data() + i * devices_, nothing.data(), left, &rest)) continue;
      if (last) {
        *best = cost + step.cost[i];
        pick_[step.model] = step.ways[i];
        return true;
      }
      if (!turn(tail, k + 1, rest, cost + step.cost[i], best)) continue;
      pick_[step.model] = step.ways[i];
      found = true;
    }
    return found;
  }

  const Filling& in_;
  double cut_;
  size_t devices_ = 0;
  std::vector<Step> held_;                // models that stay, in order
  std::vector<std::vector<Step>> tails_;  // of each unit in its turn
  std::vector<uint64_t> floors_;          // (step and one more, device)
  std::vector<double> rests_;             // likewise
  std::vector<uint32_t> pick_, best_;
  bool found_ = false, gave_up_ = false;
};

}  // namespace

std::optional<Answer> fill(const Filling& filling, double cut, bool* whole) {
  return Fill(filling, cut).run(whole);
}

}  // namespace gantry
