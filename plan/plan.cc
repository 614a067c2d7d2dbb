// plan(): placing, then fixes where it does not fit.
#include "plan/plan.h"

#include "plan/fixes.h"
#include "plan/place.h"

namespace gantry {

Bytes Placement::on(std::string_view device) const {
  Bytes sum;
  for (const Need& need : needs) {
    if (need.device == device) sum += need.total();
  }
  return sum;
}

Result<Plan> plan(const Machine& machine, const Demand& demand) {
  auto made = plan_once(machine, demand);
  if (made && !made->fits) made->fixes = find_fixes(machine, demand, *made);
  return made;
}

}  // namespace gantry
