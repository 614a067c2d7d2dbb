// From needs to places: budgets of a machine, the least cost of a household, and words for it.
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

// One way for a model, before words are found for it.
struct Choice {
  std::string device;  // that computes, or the last that does; empty: all on the CPU
  uint32_t resident = 0;
  std::vector<Need> needs;
  std::optional<StreamPlan> stream;
  uint32_t streamed = 0;  // layers
  std::vector<Split> splits;  // of `resident`, on one accelerator or several
  SplitMode split_mode = SplitMode::kLayer;
  std::vector<Need> formula = {};  // where `needs` are the engine's own: what the formulas said
};

Bytes budget_of(const std::vector<Room>& rooms, std::string_view device);

// What is loaded at once at most: what stays, and the largest of the groups that take turns. One
// for each model: its group (models that must be loaded together), and its bytes on the device.
std::vector<size_t> groups_of(const Demand& demand);
Bytes held_at_most(const std::vector<size_t>& groups, const std::vector<Placement>& models,
                   std::string_view device);

// What others never use beside this model, and what it uses itself.
std::vector<Room> rooms_beside(const std::vector<Room>& rooms, const std::vector<size_t>& groups,
                               std::vector<Placement> models, size_t model);

// Sums and peaks by device, and what follows for the whole plan. `sound`: nothing that was
// demanded of the household is broken.
void add_shares(const std::vector<Room>& rooms, const std::vector<size_t>& groups, bool sound,
                Plan* plan);

// One line for a person: where it goes and why, or what is missing.
std::string place_text(const Machine& machine, const Wish& wish, const Choice& choice);
std::string shortage_text(const std::vector<Room>& rooms, const std::vector<Need>& needs);

// kUsage or kUnsupported for wishes that no plan can be made for.
[[nodiscard]] Result<void> check_demand(const Machine& machine, const Demand& demand);

// What was minimised: first the turn of the words on shortage (plan/levers.h), then the cost.
// Never more on a larger machine; UINT32_MAX where it does not fit.
struct Least {
  uint32_t turn = UINT32_MAX;
  double cost = 0;
};
// plan() without fixes.
[[nodiscard]] Result<Plan> plan_once(const Machine& machine, const Demand& demand,
                                     Least* least = nullptr);

}  // namespace gantry
