// What else there was: the best way of each kind for each model, and why it was not taken.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace gantry {

struct Considered {
  std::string kind;   // "gpu0", "gpu0 and CPU", "gpu0 + gpu1", "streamed on gpu0", "cloud"
  std::string what;   // as in Placement::why, and what is given up
  std::vector<Need> needs;
  double cost = 0;    // seconds, or joules, of one use; by assumption where nothing was measured
  Speed speed;        // from measured rates alone
  std::string why_not;  // empty: it was taken
};

struct Explanation {
  std::string model;
  std::vector<Considered> considered;  // the best of each kind, the cheapest use first
  std::optional<Considered> better;    // faster, with the least memory more; why_not says what
  std::optional<Considered> cheaper;   // with clearly less memory, the fastest
};

// Of a plan that plan() made of the same machine and demand.
[[nodiscard]] Result<std::vector<Explanation>> explain(const Machine& machine,
                                                       const Demand& demand, const Plan& plan);

std::string next_text(const std::vector<Explanation>& all);  // the next better and cheaper
std::string why_text(const Demand& demand, const std::vector<Explanation>& all);  // --why
nlohmann::json explanation_json(const Explanation& one);

}  // namespace gantry
