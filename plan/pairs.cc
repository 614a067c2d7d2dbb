// Prices let a model pay for any fraction of a budget; but beside a large way of one model the next
// way of another that fits may be a much smaller one. So of each way it is asked what the others
// cost at least if each fits beside it, one by one, and all others hold as little as they can.
#include "plan/pairs.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "plan/bound.h"

namespace gantry {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kFitSlack = 1e-9;  // of a budget
constexpr int kPasses = 3;          // while the lists become shorter by a fifth
constexpr double kWorthAgain = 0.8;

// Ways of a model in its role, cheapest first.
struct Ranked {
  size_t model = 0, scenario = 0;
  bool turns = false;
  std::vector<uint32_t> ways;
  std::vector<double> more;   // what each costs above the least of the model
  std::vector<double> floor;  // (stride): the least part of the ways
};

class Pairs {
 public:
  Pairs(const Household& house, double cut, const Node& node, uint64_t* looked)
      : house_(house), stride_(house.stride), looked_(looked), room_(stride_), own_(stride_) {
    const std::vector<double> factors = swap_factors(house, node.role);
    double sum = 0;
    for (size_t m = 0; m < house.columns.size(); ++m) sum += rank(node, factors, m);
    bound_ = rounded_down(sum, sum);
    slack_ = cut - bound_;
    turn_.resize(node.scenarios() * stride_);
    // Those that vary most first: they say soonest that a way is not good enough.
    std::ranges::stable_sort(models_, std::greater<>(),
                             [](const Ranked& one) { return one.more.back(); });
  }

  bool run(Node* node, std::deque<std::vector<uint32_t>>* lists) {
    double raised = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      size_t before = 0, after = 0;
      for (Ranked& one : models_) {
        weigh();
        before += one.ways.size();
        raised = std::max(raised, sift(&one));
        after += one.ways.size();
        if (one.ways.empty()) return false;
      }
      if (static_cast<double>(after) > kWorthAgain * static_cast<double>(before)) break;
    }
    node->bound = std::max(node->bound, rounded_down(bound_ + raised, bound_ + raised));
    for (Ranked& one : models_) {
      auto& live = one.turns ? node->live[one.model].turns : node->live[one.model].stays;
      if (one.ways.size() == live.size()) continue;
      std::ranges::sort(one.ways);  // as the column has them
      lists->push_back(std::move(one.ways));
      live = lists->back();
    }
    return true;
  }

 private:
  // Returns the least that the model costs.
  double rank(const Node& node, const std::vector<double>& factors, size_t m) {
    const Column& column = house_.columns[m];
    const auto cost = [&column, factor = factors[column.unit]](uint32_t w) {
      return column.cost[w] + factor * column.swap[w];
    };
    Ranked& one = models_.emplace_back();
    one.model = m;
    one.turns = node.role[column.unit] == Role::kTurns;
    one.scenario = node.scenario[column.unit];
    const auto live = one.turns ? node.live[m].turns : node.live[m].stays;
    one.ways.assign(live.begin(), live.end());
    std::ranges::stable_sort(one.ways, {}, cost);
    const double least = cost(one.ways.front());
    for (const uint32_t w : one.ways) one.more.push_back(cost(w) - least);
    find_floor(&one);
    return least;
  }

  void find_floor(Ranked* one) const {
    one->floor.assign(stride_, kInfinity);
    for (const uint32_t w : one->ways) {
      const double* parts = house_.parts(one->model, w);
      for (size_t d = 0; d < stride_; ++d) one->floor[d] = std::min(one->floor[d], parts[d]);
    }
    *looked_ += one->ways.size();
  }

  // What all hold at least.
  void weigh() {
    held_.assign(stride_, 0);
    worst_.assign(stride_, 0);
    std::ranges::fill(turn_, 0);
    for (const Ranked& one : models_) {
      double* sum = one.turns ? turn_.data() + one.scenario * stride_ : held_.data();
      for (size_t d = 0; d < stride_; ++d) sum[d] += one.floor[d];
    }
    for (size_t i = 0; i < turn_.size(); ++i) {
      worst_[i % stride_] = std::max(worst_[i % stride_], turn_[i]);
    }
  }

  // Keeps the ways that may be good enough; returns what the best of them costs above the bound.
  double sift(Ranked* one) {
    double least = kInfinity;
    size_t kept = 0;
    for (size_t i = 0; i < one->ways.size() && one->more[i] < slack_; ++i) {
      const double more = more_beside(*one, i);
      if (more >= slack_) continue;
      least = std::min(least, more);
      one->ways[kept] = one->ways[i];
      one->more[kept++] = one->more[i];
    }
    if (kept == one->ways.size()) return least;
    one->ways.resize(kept);
    one->more.resize(kept);
    find_floor(one);
    return least;
  }

  // What a way and the others cost above the bound.
  double more_beside(const Ranked& one, size_t i) {
    const double* parts = house_.parts(one.model, one.ways[i]);
    for (size_t d = 0; d < stride_; ++d) {
      own_[d] = 1 + kFitSlack - parts[d] + one.floor[d] - held_[d];
    }
    double more = one.more[i];
    for (const Ranked& other : models_) {
      if (other.model == one.model) continue;
      if (one.turns && other.turns && one.scenario != other.scenario) continue;  // never meet
      const double* beside = worst_.data();
      if (one.turns || other.turns) {
        beside = turn_.data() + (one.turns ? one : other).scenario * stride_;
      }
      for (size_t d = 0; d < stride_; ++d) room_[d] = own_[d] - beside[d] + other.floor[d];
      more += first_within(other, slack_ - more);
      if (more >= slack_) break;
    }
    return more;
  }

  // Of the first way within the room; infinite where that is not below `most`.
  double first_within(const Ranked& other, double most) {
    for (size_t k = 0; k < other.ways.size() && other.more[k] < most; ++k) {
      const double* parts = house_.parts(other.model, other.ways[k]);
      bool inside = true;
      for (size_t d = 0; d < stride_ && inside; ++d) inside = parts[d] <= room_[d];
      ++*looked_;
      if (inside) return other.more[k];
    }
    return kInfinity;
  }

  const Household& house_;
  const size_t stride_;
  uint64_t* looked_;
  double bound_ = 0, slack_ = 0;
  std::vector<Ranked> models_;
  std::vector<double> held_, worst_;  // (stride)
  std::vector<double> turn_;          // (scenario, stride)
  std::vector<double> room_, own_;    // (stride)
};

}  // namespace

bool keep_pairs(const Household& house, double cut, Node* node, uint64_t* looked,
                std::deque<std::vector<uint32_t>>* lists) {
  return Pairs(house, cut, *node, looked).run(node, lists);
}

}  // namespace gantry
