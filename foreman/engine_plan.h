// Planning with the engine's word: the formulas choose, the engine is asked about what they chose,
// and where it says otherwise the choice is made again.
#pragma once

#include <functional>
#include <vector>

#include "plan/plan.h"

namespace gantry {

// So often at most; what is chosen after that is the formulas', and what they were seen to lack.
constexpr int kAskRounds = 3;

// Needs without overhead, as DryRun wants them. kUnsupported: nobody to be asked about this one.
using AskEngine =
    std::function<Result<std::vector<Need>>(const Wish& wish, const Placement& placement)>;

// As plan(). What was said is in the demand afterwards, for verify() and explain(); what was not
// is in the plan's notes. An engine that fails never makes a plan fail.
[[nodiscard]] Result<Plan> plan_asking(const Machine& machine, const AskEngine& ask,
                                       Demand* demand);

}  // namespace gantry
