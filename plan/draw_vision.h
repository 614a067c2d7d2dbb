// The vision encoder's graph as a sketch: what llama.cpp's mtmd reserves for one image.
#pragma once

#include <cstdint>

#include "model/card.h"

namespace gantry {

// Bytes on the device that has the encoder: for an image of the size that the file names, or of
// kQwenImageTokens. CLIP's, Gemma 3's and the Qwen-VL line's own graphs; other kinds of encoders
// are drawn as CLIP's. text_embd: of the model that reads the result.
uint64_t draw_vision(const ModelCard& mmproj, uint32_t text_embd, bool flash);

}  // namespace gantry
