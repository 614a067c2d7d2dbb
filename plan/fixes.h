// What would be enough, when a plan does not fit: every fix was found by planning again with it.
#pragma once

#include <vector>

#include "plan/plan.h"

namespace gantry {

// The smallest saving first; empty when no single change is enough.
std::vector<Fix> find_fixes(const Machine& machine, const Demand& demand, const Plan& failed);

}  // namespace gantry
