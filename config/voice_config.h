// The keys of a model that speaks or tells speakers apart: engine, options, voices.
#pragma once

#include "config/keys.h"

namespace gantry {

// What the keys `engine`, `options`, `voices`, `embedding`, `speakers` and `threshold` of a model
// say together: its engine exists and suits its kind, options are the engine's, required ones are
// there. Called once the other keys are read; does nothing for models without such keys.
[[nodiscard]] Result<void> read_voice(ConfigReader& reader, const YamlEntry& entry,
                                      ModelKeyState* state);

}  // namespace gantry
