// Households for the tests of choose() and its parts.
#pragma once

#include <functional>

#include "base/rng.h"
#include "plan/household.h"
#include "plan/round.h"

namespace gantry {

struct ChooseSizes {
  uint64_t models = 4, ways = 4, devices = 3, bytes = 12;
};

inline uint64_t random_bytes(Rng& rng, const ChooseSizes& sizes) {
  const uint64_t kind = rng.below(12);
  if (kind == 0) return 0;
  if (kind == 1 && sizes.bytes > 1000) return UINT64_MAX - rng.below(3);
  return rng.below(sizes.bytes);
}

// Few different costs, so that there are ties; budgets of zero and near the largest;
// contradictions.
inline ChooseAsk random_ask(Rng& rng, const ChooseSizes& sizes) {
  ChooseAsk ask;
  const uint64_t models = 1 + rng.below(sizes.models), devices = rng.below(sizes.devices + 1);
  const uint64_t costs = 1 + rng.below(20);
  const bool cheap_swaps = rng.below(3) == 0;
  for (uint64_t d = 0; d < devices; ++d) {
    ask.budgets.push_back(rng.below(8) == 0 ? 0 : rng.below(sizes.bytes * (1 + rng.below(4))));
    if (sizes.bytes > 1000 && rng.below(6) == 0) ask.budgets.back() = UINT64_MAX - rng.below(2);
  }
  for (uint64_t m = 0; m < models; ++m) {
    std::vector<Way>& ways = ask.ways.emplace_back(1 + rng.below(sizes.ways));
    for (Way& way : ways) {
      way.cost = static_cast<double>(rng.below(costs));
      way.swap = static_cast<double>(rng.below(cheap_swaps ? 3 : 3 * costs)) / 2;
      for (uint64_t d = 0; d < devices; ++d) way.bytes.push_back(random_bytes(rng, sizes));
    }
    ask.shares.push_back(static_cast<double>(1 + rng.below(4)));
    ask.stays.push_back(rng.below(8) == 0);
  }
  const auto pair = [&] { return std::pair{rng.below(models), rng.below(models)}; };
  while (rng.below(4) == 0) ask.together.emplace_back(pair());
  while (rng.below(5) == 0) ask.apart.emplace_back(pair());
  return ask;
}

// Every pick under every allowed set of roles.
inline void for_each_answer(const Household& house,
                            const std::function<void(const Answer&)>& tell) {
  const size_t units = house.units.size(), models = house.columns.size();
  for (uint32_t mask = 0; mask < (1U << units); ++mask) {
    Answer answer{std::vector<uint32_t>(models, 0), std::vector<Role>(units, Role::kStays), 0};
    bool allowed = true;
    for (size_t u = 0; u < units; ++u) {
      if ((mask >> u & 1U) != 0) answer.role[u] = Role::kTurns;
      const Role asked = house.units[u].role;
      allowed = allowed && (asked == Role::kOpen || asked == answer.role[u]);
    }
    for (size_t m = allowed ? 0 : models; m < models;) {
      tell(answer);
      for (m = 0; m < models && ++answer.pick[m] == house.columns[m].way.size(); ++m) {
        answer.pick[m] = 0;
      }
    }
  }
}

// All ways of all models, in both roles.
struct AllWays {
  explicit AllWays(const Household& house) {
    for (const Column& column : house.columns) {
      std::vector<uint32_t>& list = lists.emplace_back();
      for (uint32_t w = 0; w < column.way.size(); ++w) list.push_back(w);
    }
    for (const auto& list : lists) live.push_back({list, list});
  }
  std::vector<std::vector<uint32_t>> lists;
  std::vector<Live> live;
};

}  // namespace gantry
