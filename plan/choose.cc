// choose(): checks, searches, and says it in the caller's words. How it is found: search.cc.
#include "plan/choose.h"

#include <algorithm>
#include <string>

#include "plan/household.h"
#include "plan/search.h"

namespace gantry {

namespace {

// Where an earlier way costs no more and fits as well, that one.
void take_lowest(const Household& house, Answer* answer) {
  const std::vector<double> factors = swap_factors(house, answer->role);
  for (size_t m = 0; m < house.columns.size(); ++m) {
    const Column& column = house.columns[m];
    const auto cost = [&column, factor = factors[column.unit]](uint32_t way) {
      return column.cost[way] + factor * column.swap[way];
    };
    uint32_t taken = answer->pick[m];
    const double most = cost(taken);
    for (uint32_t w = 0; w < column.way.size() && column.cost[w] <= most; ++w) {
      if (column.way[w] >= column.way[taken] || cost(w) > most) continue;
      answer->pick[m] = w;
      if (fits(house, *answer)) taken = w;
      answer->pick[m] = taken;
    }
  }
}

}  // namespace

Result<Chosen> choose(const ChooseAsk& ask) {
  const auto house = make_household(ask);
  if (!house) return fail(house.error());
  Found found = search(*house, ask.nodes_max);
  if (!found.best) {
    if (!found.open) return fail(Code::kDoesNotFit, "choice: no ways of all models fit together");
    return fail(Code::kDoesNotFit, "choice: no way that fits was found in " +
                                       std::to_string(found.nodes) + " nodes");
  }
  take_lowest(*house, &*found.best);
  Chosen chosen;
  chosen.cost = cost_of(*house, *found.best);
  chosen.bound = found.open ? std::min(found.bound, chosen.cost) : chosen.cost;
  chosen.nodes = found.nodes;
  for (size_t m = 0; m < house->columns.size(); ++m) {
    const Column& column = house->columns[m];
    chosen.way.push_back(column.way[found.best->pick[m]]);
    chosen.stays.push_back(found.best->role[column.unit] == Role::kStays);
  }
  return chosen;
}

}  // namespace gantry
