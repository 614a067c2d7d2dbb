// The cheapest blend of ways: of each model fractions of ways that sum to one, within every budget
// of every scenario. A linear program, solved by the simplex method; what its budgets are worth at
// the optimum are the prices that raise a node's bound most. For bound alone.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/node.h"

namespace gantry {

// A fraction of a model's way in the blend.
struct Fraction {
  size_t model = 0;
  uint32_t way = 0;
  double part = 0;
};

class Blend {
 public:
  // Of a node with some ways of each model: see add(). `factors` of swaps and `away`, what it costs
  // to have it in turn, are of each unit. More than a budget costs `over_cost` for all of it.
  Blend(const Household& house, const Node& node, const std::vector<double>& factors,
        const std::vector<double>& away, double over_cost);

  // The first way of a model is where the blend begins. None twice.
  void add(size_t model, uint32_t way);

  // False where it ended before the optimum was reached. Adds the columns it looked at to `looked`.
  bool solve(uint64_t* looked);

  size_t rows() const { return rows_; }
  bool solved() const { return !basis_.empty(); }
  double cost() const;                       // of the blend
  std::vector<double> price() const;         // (scenario, stride)
  std::vector<Fraction> fractions() const;   // those above zero
  double away(size_t unit) const;            // the fraction of an open unit that takes turns

 private:
  enum class Kind : uint8_t { kWay, kAway, kSpare, kOver };  // the last two: of a budget
  struct Entry {
    Kind kind = Kind::kWay;
    size_t at = 0;  // model, unit or budget
    uint32_t way = 0;
    double cost = 0;
    const double* parts = nullptr;
  };

  void begin();
  void take_prices();
  double least_pays(Entry* entering) const;
  void column_of(const Entry& entry, std::vector<double>* column) const;
  size_t leaving(const std::vector<double>& column) const;
  void pivot(size_t row, const Entry& entry, double pays, const std::vector<double>& column);
  const double* own_price(size_t model) const;

  const Household& house_;
  const Node& node_;
  const std::vector<double>&factors_, &away_;
  const double over_cost_;
  const size_t models_, devices_, rows_;
  std::vector<std::vector<Entry>> ways_;  // of each model, to choose from
  std::vector<Entry> basis_;              // (rows_): each model, then each budget
  std::vector<double> inverse_;           // (rows_, rows_) of the basis, column by column
  std::vector<double> part_;              // (rows_): of each entry of the basis
  std::vector<double> dual_;              // (rows_)
  std::vector<double> price_, held_;      // (scenario, stride), (stride): their sum
};

}  // namespace gantry
