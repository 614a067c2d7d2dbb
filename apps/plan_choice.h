// `gantry plan` of a model that is one of several: what each mode would take, by prediction.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "foreman/choice.h"
#include "foreman/roster.h"

namespace gantry {

struct ChoicePlan {
  ModelConfig choice;
  std::vector<Candidate> members;  // the best first; each planned alone
  std::string taken(Mode mode) const;  // empty: none fits
};

// `alone` plans one wish within the budgets.
using PlanAlone = std::function<Result<Plan>(const Wish& wish)>;
[[nodiscard]] Result<ChoicePlan> plan_choice(Roster& roster, const ModelConfig& choice,
                                             const PlanAlone& alone);

std::string choice_plan_text(const ChoicePlan& plan);
nlohmann::json choice_plan_json(const ChoicePlan& plan);

}  // namespace gantry
