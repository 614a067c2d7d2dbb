// Layers that mix tokens by a state of fixed size instead of attention: mamba, mamba2 and short
// convolutions.
#pragma once

#include <cstdint>
#include <vector>

#include "model/synth_arch.h"

namespace gantry {

// Sets the state's keys and the number of KV heads; gives that number for each layer, 0 where the
// layer keeps a state. In hybrids every fourth layer attends, at least the last.
std::vector<uint32_t> draft_mixer_keys(SynthDraft* draft);

// One such layer.
void draft_mixer(SynthDraft* draft);

}  // namespace gantry
