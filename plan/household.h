// An ask of choose() as columns of numbers, and the exact arithmetic that its answers are checked
// with. For choose, search and round alone.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/choose.h"

namespace gantry {

enum class Role : uint8_t { kOpen, kStays, kTurns };

// The ways of one model, those that can never fit left out.
struct Column {
  std::vector<size_t> way;      // as the caller counts them, cheapest first
  std::vector<double> cost, swap;
  std::vector<uint64_t> bytes;  // (way, device)
  std::vector<double> parts;    // (way, stride): the same as parts of the budgets
  double swap_least = 0;
  size_t unit = 0;
};

struct Unit {
  std::vector<size_t> models;
  double share = 0;
  Role role = Role::kOpen;  // what is asked for
};

// Only devices on which not everything fits at once: the others decide nothing.
struct Household {
  std::vector<uint64_t> budgets;
  size_t stride = 0;  // devices, rounded up to 4 with zeros: an inner loop without a rest
  std::vector<Column> columns;  // of each model
  std::vector<Unit> units;

  const double* parts(size_t model, size_t way) const {
    return columns[model].parts.data() + way * stride;  // there may be none
  }
};

// A full choice. Ways are counted as the column counts them.
struct Answer {
  std::vector<uint32_t> pick;  // of each model
  std::vector<Role> role;      // of each unit; never kOpen
  double cost = 0;
};

// kUsage where the ask is malformed or contradicts itself, with the place; kDoesNotFit where a
// model has no way that fits.
[[nodiscard]] Result<Household> make_household(const ChooseAsk& ask);

// Exact: no sum wraps.
bool fits(const Household& house, const Answer& answer);

// 1 - share of the unit / shares of all that take turns; zero for units that stay, and where there
// are not two.
std::vector<double> swap_factors(const Household& house, const std::vector<Role>& role);
double cost_of(const Household& house, const Answer& answer);

}  // namespace gantry
