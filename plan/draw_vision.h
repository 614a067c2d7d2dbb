// The graphs of vision and audio encoders as sketches: what llama.cpp's mtmd reserves for one
// image, or for half a minute of sound.
#pragma once

#include <cstdint>

#include "model/card.h"

namespace gantry {

// Bytes on the device that has the encoder: for an image of the size that the file names, or of
// kQwenImageTokens. CLIP's, Gemma 3's, Nemotron's and the Qwen-VL line's own graphs; other kinds of
// encoders are drawn as CLIP's. text_embd: of the model that reads the result.
uint64_t draw_vision(const ModelCard& mmproj, uint32_t text_embd, bool flash);

// Likewise for an encoder of sound, beside one of pictures or alone: Qwen3-ASR's, Parakeet's, and
// whisper's as Qwen2-Audio and Voxtral have it, which stands for all others. 0: it is none.
uint64_t draw_audio(const ModelCard& mmproj, uint32_t text_embd, bool flash);

}  // namespace gantry
