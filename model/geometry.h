// What a GGUF's metadata says about a model's dimensions and its caches, by architecture.
#pragma once

#include "model/card.h"
#include "model/gguf.h"

namespace gantry {

// Fills architecture, name, dimensions, kv and state_bytes of the card. kCorrupt where a needed
// key is missing or of another type, kTooLarge beyond the limits of card.h, kUnsupported for
// files that are no model on their own (adapters, vocabularies, one part of several).
[[nodiscard]] Result<void> read_geometry(const Gguf& gguf, ModelCard& card);

}  // namespace gantry
