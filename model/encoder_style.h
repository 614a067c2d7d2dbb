// What tells one encoder of pictures or of sound from another.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace gantry {

// What tells one vision encoder's graph from another's, beside its widths.
struct VisionStyle {
  std::string projector;            // clip.projector_type: "mlp", "qwen3vl_merger"
  uint32_t merge = 0;               // patches a side that become one token; 0: not in the file
  uint32_t full_every = 0;          // all other layers attend within windows; 0: none does
  std::vector<uint32_t> deepstack;  // layers whose features are projected, too
  bool norm_before = false, norm_behind = false;  // of all layers
  uint32_t registers = 0;           // of Nemotron's: tokens beside those of patches
  uint32_t inner = 0;               // likewise: of its projection

  bool is_qwen() const;             // made of films, patches merged by two: Qwen2-VL's line
};

// Widths of an encoder of sound, which are its own where the file has one of pictures, too.
struct AudioStyle {
  uint32_t embd = 0;
  uint32_t heads = 0;
  uint32_t ffn = 0;
  uint32_t taps = 0;   // of Parakeet's convolution in time
  uint32_t inner = 0;  // of Parakeet's projection
  Bytes shared = {};   // of the pictures' weights, what the engine loads for sound once more
};

// The largest picture, in tokens, that llama.cpp makes room for when it loads one of Qwen's line,
// and that our workers therefore let in: larger ones are made smaller.
constexpr uint32_t kQwenImageTokens = 46 * 46;

}  // namespace gantry
