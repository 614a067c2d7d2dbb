// The revised simplex method with the inverse of the basis, which has few rows: one for each model
// and one for each budget of each scenario. What is above a budget is allowed at a high cost, so
// that any ways are a first basis.
#include "plan/blend.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gantry {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kPivotLeast = 1e-7;
constexpr double kPartSlack = 1e-9;
constexpr double kPaysLeast = 1e-13;  // of over_cost: less is rounding
constexpr size_t kPivotsMax = 20;     // for each row

}  // namespace

Blend::Blend(const Household& house, const Node& node, const std::vector<double>& factors,
             const std::vector<double>& away, double over_cost)
    : house_(house), node_(node), factors_(factors), away_(away), over_cost_(over_cost),
      models_(house.columns.size()), devices_(house.budgets.size()),
      rows_(models_ + node.scenarios() * devices_), ways_(models_) {}

void Blend::add(size_t model, uint32_t way) {
  const Column& column = house_.columns[model];
  const bool turns = node_.role[column.unit] == Role::kTurns;
  const double cost = column.cost[way] + (turns ? factors_[column.unit] * column.swap[way] : 0);
  ways_[model].push_back({Kind::kWay, model, way, cost, house_.parts(model, way)});
}

// The first way of each model, and what that leaves or lacks of each budget.
void Blend::begin() {
  inverse_.assign(rows_ * rows_, 0);
  part_.assign(rows_, 1);
  dual_.assign(rows_, 0);
  for (size_t m = 0; m < models_; ++m) {
    inverse_[m * rows_ + m] = 1;
    basis_.push_back(ways_[m].front());
    dual_[m] = basis_[m].cost;
  }
  for (size_t b = 0; models_ + b < rows_; ++b) {
    const size_t scenario = b / devices_, device = b % devices_;
    double held = 0;
    for (size_t m = 0; m < models_; ++m) {
      const size_t u = house_.columns[m].unit;
      if (node_.role[u] == Role::kTurns && node_.scenario[u] != scenario) continue;
      held += basis_[m].parts[device];
    }
    const bool over = held > 1;
    const double sign = over ? -1 : 1;
    const size_t row = models_ + b;
    inverse_[row * rows_ + row] = sign;
    for (size_t m = 0; m < models_; ++m) {
      const size_t u = house_.columns[m].unit;
      if (node_.role[u] == Role::kTurns && node_.scenario[u] != scenario) continue;
      inverse_[m * rows_ + row] = -sign * basis_[m].parts[device];
    }
    part_[row] = std::abs(1 - held);
    const double cost = over ? over_cost_ : 0;
    basis_.push_back({over ? Kind::kOver : Kind::kSpare, b, 0, cost, nullptr});
    for (size_t k = 0; over && k < rows_; ++k) dual_[k] += cost * inverse_[k * rows_ + row];
  }
}

void Blend::take_prices() {
  const size_t stride = house_.stride;
  price_.assign(node_.scenarios() * stride, 0);
  held_.assign(stride, 0);
  for (size_t s = 0; s < node_.scenarios(); ++s) {
    for (size_t d = 0; d < devices_; ++d) {
      const double price = -dual_[models_ + s * devices_ + d];
      price_[s * stride + d] = price;
      held_[d] += price;
    }
  }
}

const double* Blend::own_price(size_t model) const {
  const size_t u = house_.columns[model].unit;
  if (node_.role[u] != Role::kTurns) return held_.data();
  return price_.data() + node_.scenario[u] * house_.stride;
}

// What is cheapest at these prices against what its models pay now.
double Blend::least_pays(Entry* entering) const {
  double least = -kPaysLeast * over_cost_;
  const double enough = least;
  for (size_t m = 0; m < models_; ++m) {
    const double* price = own_price(m);
    for (const Entry& entry : ways_[m]) {
      double pays = entry.cost - dual_[m];
      for (size_t d = 0; d < house_.stride; d += 4) {
        pays += (price[d] * entry.parts[d] + price[d + 1] * entry.parts[d + 1]) +
                (price[d + 2] * entry.parts[d + 2] + price[d + 3] * entry.parts[d + 3]);
      }
      if (pays >= least) continue;
      least = pays;
      *entering = entry;
    }
  }
  for (size_t u = 0; u < house_.units.size(); ++u) {
    if (node_.role[u] != Role::kOpen || std::isinf(away_[u])) continue;
    double pays = away_[u];
    for (const size_t m : house_.units[u].models) pays -= dual_[m];
    if (pays >= least) continue;
    least = pays;
    *entering = {Kind::kAway, u, 0, away_[u], nullptr};
  }
  for (size_t b = 0; models_ + b < rows_; ++b) {
    const double price = -dual_[models_ + b];
    if (price < least) {
      least = price;
      *entering = {Kind::kSpare, b, 0, 0, nullptr};
    }
    if (over_cost_ - price < least) {
      least = over_cost_ - price;
      *entering = {Kind::kOver, b, 0, over_cost_, nullptr};
    }
  }
  return least < enough ? least : 0;
}

// What the basis holds of one unit of an entry.
void Blend::column_of(const Entry& entry, std::vector<double>* column) const {
  column->assign(rows_, 0);
  const auto take = [&](size_t row, double factor) {
    if (factor == 0) return;
    const double* one = inverse_.data() + row * rows_;
    for (size_t i = 0; i < rows_; ++i) (*column)[i] += factor * one[i];
  };
  if (entry.kind == Kind::kSpare) return take(models_ + entry.at, 1);
  if (entry.kind == Kind::kOver) return take(models_ + entry.at, -1);
  if (entry.kind == Kind::kAway) {
    for (const size_t m : house_.units[entry.at].models) take(m, 1);
    return;
  }
  take(entry.at, 1);
  const size_t u = house_.columns[entry.at].unit;
  const bool turns = node_.role[u] == Role::kTurns;
  const size_t first = turns ? node_.scenario[u] : 0;
  const size_t end = turns ? first + 1 : node_.scenarios();
  for (size_t s = first; s < end; ++s) {
    for (size_t d = 0; d < devices_; ++d) take(models_ + s * devices_ + d, entry.parts[d]);
  }
}

// Of the rows that are among the first to be used up, but for rounding, the one that divides best.
size_t Blend::leaving(const std::vector<double>& column) const {
  double least = kInfinity;
  for (size_t i = 0; i < rows_; ++i) {
    if (column[i] > kPivotLeast) least = std::min(least, (part_[i] + kPartSlack) / column[i]);
  }
  size_t row = rows_;
  for (size_t i = 0; i < rows_; ++i) {
    if (column[i] <= kPivotLeast || part_[i] > least * column[i]) continue;
    if (row == rows_ || column[i] > column[row]) row = i;
  }
  return row;
}

// The entry takes the place of the basis' row; it pays so much more than its models pay now.
void Blend::pivot(size_t row, const Entry& entry, double pays, const std::vector<double>& column) {
  const double by = 1 / column[row];
  for (size_t k = 0; k < rows_; ++k) {
    double* one = inverse_.data() + k * rows_;
    if (one[row] == 0) continue;
    const double own = one[row] * by;
    for (size_t i = 0; i < rows_; ++i) one[i] -= own * column[i];
    one[row] = own;
    dual_[k] += pays * own;
  }
  const double part = part_[row] * by;
  for (size_t i = 0; i < rows_; ++i) part_[i] = std::max(0.0, part_[i] - part * column[i]);
  part_[row] = part;
  basis_[row] = entry;
}

bool Blend::solve(uint64_t* looked) {
  if (basis_.empty()) begin();
  uint64_t columns = rows_;
  for (const auto& list : ways_) columns += list.size();
  std::vector<double> column;
  for (size_t i = 0; i < kPivotsMax * rows_; ++i) {
    *looked += columns + rows_ * rows_ / 8;
    take_prices();
    Entry entering;
    const double pays = least_pays(&entering);
    if (pays == 0) return true;
    column_of(entering, &column);
    const size_t row = leaving(column);
    if (row == rows_) return false;
    pivot(row, entering, pays, column);
  }
  return false;
}

std::vector<double> Blend::price() const {
  std::vector<double> price = price_;
  for (double& p : price) p = std::clamp(p, 0.0, over_cost_);  // but for rounding it is
  return price;
}

double Blend::cost() const {
  double cost = 0;
  for (size_t i = 0; i < rows_; ++i) cost += part_[i] * basis_[i].cost;
  return cost;
}

std::vector<Fraction> Blend::fractions() const {
  std::vector<Fraction> all;
  for (size_t i = 0; i < rows_; ++i) {
    const Entry& entry = basis_[i];
    if (entry.kind == Kind::kWay && part_[i] > 0) all.push_back({entry.at, entry.way, part_[i]});
  }
  return all;
}

double Blend::away(size_t unit) const {
  for (size_t i = 0; i < rows_; ++i) {
    if (basis_[i].kind == Kind::kAway && basis_[i].at == unit) return part_[i];
  }
  return 0;
}

}  // namespace gantry
