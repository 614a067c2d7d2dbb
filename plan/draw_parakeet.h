// The graph of a Parakeet encoder as a sketch: what llama.cpp's mtmd reserves for sound.
#pragma once

#include <cstdint>

#include "model/card.h"

namespace gantry {

// Bytes on the device that has the encoder, for so many hundredths of a second. It is the same with
// flash attention and without, which this encoder has none of. text_embd: of the model that reads
// the result.
uint64_t draw_parakeet(const ModelCard& mmproj, uint32_t text_embd, uint64_t frames);

}  // namespace gantry
