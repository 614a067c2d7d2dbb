// From needs to places: budgets of a machine, and where one model goes alone.
#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"

namespace gantry {

// What may be planned with on one device.
struct Room {
  std::string device;
  Bytes budget;
  std::string note;  // where the budget is not what was asked for
};

// Accelerators in the machine's order, then host memory. kUsage for a budget of zero.
[[nodiscard]] Result<std::vector<Room>> rooms_of(const Machine& machine, const Demand& demand);

// Where a model goes, before words are found for it.
struct Choice {
  std::string device;  // empty: all on the CPU
  uint32_t resident = 0;
  std::vector<Need> needs;
  std::optional<StreamPlan> stream;
  uint32_t streamed = 0;  // layers
  std::vector<Split> splits;  // of `resident`, where several accelerators share them
};

Bytes budget_of(const std::vector<Room>& rooms, std::string_view device);

// The most layers on the accelerator that takes most; else all on the CPU. Where nothing fits,
// the placement that misses least, with fits_alone = false.
Placement place(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish);

// Sums and peaks by device, and what follows for the whole plan.
void add_shares(const std::vector<Room>& rooms, Plan* plan);

// kUsage or kUnsupported for wishes that no plan can be made for.
[[nodiscard]] Result<void> check_demand(const Demand& demand);

// plan() without fixes.
[[nodiscard]] Result<Plan> plan_once(const Machine& machine, const Demand& demand);

}  // namespace gantry
