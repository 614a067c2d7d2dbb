// The vision encoder's graph as a sketch: what llama.cpp's mtmd reserves for one image.
#pragma once

#include <cstdint>

#include "model/card.h"

namespace gantry {

// Bytes on the device that has the encoder, for an image of the size that the file names. Encoders
// that differ from CLIP's are drawn as CLIP's. text_embd: of the model that reads the result.
uint64_t draw_vision(const ModelCard& mmproj, uint32_t text_embd, bool flash);

}  // namespace gantry
