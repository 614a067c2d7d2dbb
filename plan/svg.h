// A plan as a picture: a bar per device, and where models take turns one for each turn.
#pragma once

#include <string>

#include "plan/plan.h"

namespace gantry {

// Well-formed SVG 1.1; names are escaped, characters that XML forbids left out.
std::string plan_svg(const Demand& demand, const Plan& plan);

}  // namespace gantry
