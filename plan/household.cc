// From an ask to columns: checks, units, ways that can never fit.
#include "plan/household.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/limits.h"

namespace gantry {

namespace {

__extension__ typedef unsigned __int128 Wide;  // a sum of any 64-bit figures is exact

constexpr size_t kLanes = 4;

std::string place(const char* list, size_t i) {
  return std::string(list) + "[" + std::to_string(i) + "]";
}

tl::unexpected<Error> wrong(const std::string& where, const std::string& what) {
  return fail(Code::kUsage, "choice: " + where + " " + what);
}

bool is_cost(double value) { return value >= 0 && value <= kWayCostMax; }  // false for NaN

Result<void> check_ways(const ChooseAsk& ask) {
  for (size_t m = 0; m < ask.ways.size(); ++m) {
    if (ask.ways[m].empty()) return wrong(place("ways", m), "is empty");
    if (ask.ways[m].size() > UINT32_MAX) return wrong(place("ways", m), "is too long");
    for (size_t w = 0; w < ask.ways[m].size(); ++w) {
      const Way& way = ask.ways[m][w];
      const std::string where = place("ways", m) + "[" + std::to_string(w) + "]";
      if (!is_cost(way.cost)) return wrong(where + ".cost", "is no finite cost");
      if (!is_cost(way.swap)) return wrong(where + ".swap", "is no finite cost");
      if (way.bytes.size() != ask.budgets.size()) {
        return wrong(where + ".bytes", "has another number of devices than budgets");
      }
    }
  }
  return {};
}

Result<void> check(const ChooseAsk& ask) {
  const size_t models = ask.ways.size();
  if (models == 0) return wrong("ways", "is empty: there is no model to choose for");
  if (models > kModelsMax) return wrong("ways", "has more than the most models");
  if (ask.shares.size() != models) return wrong("shares", "has another length than ways");
  if (ask.stays.size() != models) return wrong("stays", "has another length than ways");
  for (size_t m = 0; m < models; ++m) {
    if (!is_cost(ask.shares[m]) || !(ask.shares[m] > 0)) {
      return wrong(place("shares", m), "is no finite number above zero");
    }
  }
  for (const auto& [pairs, name] : {std::pair{&ask.together, "together"},
                                    std::pair{&ask.apart, "apart"}}) {
    for (size_t i = 0; i < pairs->size(); ++i) {
      const auto& [a, b] = (*pairs)[i];
      if (a >= models || b >= models) {
        return wrong(place(name, i), "names a model that is not there");
      }
    }
  }
  return check_ways(ask);
}

// Joins models that must be loaded at once; units are in the order of their first model.
void make_units(const ChooseAsk& ask, Household* house) {
  const size_t models = ask.ways.size();
  std::vector<size_t> head(models);
  std::iota(head.begin(), head.end(), 0);
  const auto find = [&head](size_t m) {
    while (head[m] != m) m = head[m] = head[head[m]];
    return m;
  };
  for (const auto& [a, b] : ask.together) {
    const size_t first = find(a), second = find(b);
    head[std::max(first, second)] = std::min(first, second);
  }
  std::vector<size_t> unit_of(models);
  for (size_t m = 0; m < models; ++m) {
    if (find(m) == m) {
      unit_of[m] = house->units.size();
      house->units.emplace_back();
    }
    Unit& unit = house->units[unit_of[find(m)]];
    house->columns[m].unit = unit_of[find(m)];
    unit.models.push_back(m);
    unit.share += ask.shares[m];
    if (ask.stays[m]) unit.role = Role::kStays;
  }
}

// What may never be loaded at once takes turns: a unit that stays is loaded beside all others.
Result<void> part(const ChooseAsk& ask, Household* house) {
  for (size_t i = 0; i < ask.apart.size(); ++i) {
    const auto [a, b] = ask.apart[i];
    if (house->columns[a].unit == house->columns[b].unit) {
      return wrong(place("apart", i), "are loaded at once, as together says");
    }
    for (const size_t m : {a, b}) {
      Unit& unit = house->units[house->columns[m].unit];
      if (unit.role == Role::kStays) {
        return wrong(place("apart", i), "are loaded at once, as stays says");
      }
      unit.role = Role::kTurns;
    }
  }
  return {};
}

// The devices on which not everything fits at once.
std::vector<size_t> tight_devices(const ChooseAsk& ask, const std::vector<Column>& columns) {
  std::vector<size_t> tight;
  for (size_t d = 0; d < ask.budgets.size(); ++d) {
    Wide most = 0;
    for (size_t m = 0; m < columns.size(); ++m) {
      uint64_t largest = 0;
      for (const size_t w : columns[m].way) largest = std::max(largest, ask.ways[m][w].bytes[d]);
      most += largest;
    }
    if (most > ask.budgets[d]) tight.push_back(d);
  }
  return tight;
}

bool fits_alone(const ChooseAsk& ask, const Way& way) {
  for (size_t d = 0; d < ask.budgets.size(); ++d) {
    if (way.bytes[d] > ask.budgets[d]) return false;
  }
  return true;
}

void fill_column(const ChooseAsk& ask, size_t model, const std::vector<size_t>& devices,
                 const Household& house, Column* column) {
  column->parts.assign(column->way.size() * house.stride, 0);
  for (size_t i = 0; i < column->way.size(); ++i) {
    const Way& way = ask.ways[model][column->way[i]];
    column->cost.push_back(way.cost);
    column->swap.push_back(way.swap);
    for (size_t d = 0; d < devices.size(); ++d) {
      const uint64_t bytes = way.bytes[devices[d]];
      column->bytes.push_back(bytes);
      column->parts[i * house.stride + d] =
          static_cast<double>(bytes) / static_cast<double>(house.budgets[d]);
    }
  }
  column->swap_least = *std::ranges::min_element(column->swap);
}

}  // namespace

Result<Household> make_household(const ChooseAsk& ask) {
  if (auto sound = check(ask); !sound) return fail(sound.error());
  Household house;
  house.columns.resize(ask.ways.size());
  make_units(ask, &house);
  if (auto sound = part(ask, &house); !sound) return fail(sound.error());
  for (size_t m = 0; m < ask.ways.size(); ++m) {
    for (size_t w = 0; w < ask.ways[m].size(); ++w) {
      if (fits_alone(ask, ask.ways[m][w])) house.columns[m].way.push_back(w);
    }
    std::ranges::stable_sort(house.columns[m].way, {},
                             [&](size_t w) { return ask.ways[m][w].cost; });
    if (house.columns[m].way.empty()) {
      return fail(Code::kDoesNotFit, "choice: no way of " + place("ways", m) + " fits alone");
    }
  }
  const std::vector<size_t> devices = tight_devices(ask, house.columns);
  for (const size_t d : devices) house.budgets.push_back(ask.budgets[d]);
  house.stride = std::max<size_t>(1, (devices.size() + kLanes - 1) / kLanes) * kLanes;
  for (size_t m = 0; m < ask.ways.size(); ++m) {
    fill_column(ask, m, devices, house, &house.columns[m]);
  }
  return house;
}

bool fits(const Household& house, const Answer& answer) {
  const size_t devices = house.budgets.size();
  for (size_t d = 0; d < devices; ++d) {
    Wide held = 0, turn_most = 0;
    for (size_t u = 0; u < house.units.size(); ++u) {
      Wide sum = 0;
      for (const size_t m : house.units[u].models) {
        sum += house.columns[m].bytes[answer.pick[m] * devices + d];
      }
      if (answer.role[u] == Role::kTurns) turn_most = std::max(turn_most, sum);
      else held += sum;
    }
    if (held + turn_most > house.budgets[d]) return false;
  }
  return true;
}

std::vector<double> swap_factors(const Household& house, const std::vector<Role>& role) {
  std::vector<double> factors(role.size(), 0);
  double shares = 0;
  size_t count = 0;
  for (size_t u = 0; u < role.size(); ++u) {
    if (role[u] != Role::kTurns) continue;
    shares += house.units[u].share;
    ++count;
  }
  for (size_t u = 0; u < role.size() && count > 1; ++u) {
    if (role[u] == Role::kTurns) factors[u] = std::max(0.0, 1 - house.units[u].share / shares);
  }
  return factors;
}

double cost_of(const Household& house, const Answer& answer) {
  const std::vector<double> factors = swap_factors(house, answer.role);
  double cost = 0;
  for (size_t m = 0; m < house.columns.size(); ++m) {
    const Column& column = house.columns[m];
    cost += column.cost[answer.pick[m]] + factors[column.unit] * column.swap[answer.pick[m]];
  }
  return cost;
}

}  // namespace gantry
