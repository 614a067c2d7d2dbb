// The engine's own word on bytes, where it was asked. It was not asked of each of a thousand ways:
// those that it was not asked of are the formulas', and what these were seen to lack for the file.
#pragma once

#include <vector>

#include "plan/place.h"

namespace gantry {

// What the engine said of this placement of the wish; null: it was not asked. `wish` is as it would
// run, its levers set.
const DryRun* dry_run_of(const Wish& wish, const std::vector<Split>& splits);

// The same settings and places, and nothing said yet.
DryRun dry_run_for(const Wish& wish, const std::vector<Split>& splits);

// Puts the engine's bytes in the place of the formulas', which are kept in choice->formula. What
// streams is the streamer's account, and stays; the dry run knows no tensors split over devices.
void use_dry_runs(const Wish& wish, Choice* choice);

}  // namespace gantry
