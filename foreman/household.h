// From configuration to the demand of a household.
#pragma once

#include "audit/machine.h"
#include "config/config.h"
#include "foreman/loadable.h"
#include "plan/demand.h"

namespace gantry {

// What a model's configuration says besides its file: weights, levers, words on shortage.
// kUsage for words that are none; those of a file were checked when it was read.
[[nodiscard]] Result<void> set_demand(const DemandConfig& config, Wish* wish);

// Groups as llama-swap means them, among the models that `demand` has: of a group with `swap` one
// member is loaded at a time; `exclusive` members are never beside models of other groups, unless
// those are `persistent`; `persistent` members stay loaded, where they do not swap.
void add_groups(const Config& config, Demand* demand);

// The same and `exclusive` and `whole_device`, for the moment at which a device is given: what of
// its shares may not be beside others.
void keep_apart(const Config& config, const Machine& machine, const ModelConfig& model,
                Loadable* loadable);

}  // namespace gantry
