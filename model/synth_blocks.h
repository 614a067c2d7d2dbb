// Random weights, written straight as ggml's blocks: what a matrix of that type may hold, with a
// chosen spread (standard deviation) and mean zero after dequantisation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/rng.h"

namespace gantry {

// Type ids of model/tensor_type.h that can be written, in the order of their names' length of bits.
std::span<const uint32_t> random_block_types();

uint16_t half_of(float value);      // to nearest, ties to even; too large becomes infinity
uint16_t bfloat_of(float value);    // likewise

// Fills whole blocks. Quants are random bits, which makes every code equally frequent; the scales
// come from a small table around the one that gives the wanted spread, so that they differ from
// block to block. Where codes lie around another value than zero, a block's minimum or the sign of
// its scale evens that out: a matrix whose mean is not zero would blow up the activations.
class RandomBlocks {
 public:
  // `type` is one of random_block_types(); spread > 0.
  RandomBlocks(uint32_t type, double spread);

  // `out` is a whole number of blocks.
  void fill(Rng& rng, std::span<std::byte> out) const;

 private:
  struct Scale {
    uint16_t scale = 0;
    uint16_t min = 0;
  };
  void set_scales(std::span<std::byte> out) const;

  uint32_t type_;
  uint32_t block_bytes_;
  std::array<Scale, 32> scales_{};         // types with a float16 scale; odd entries negative
  std::array<uint8_t, 64> codes_{};        // types with scales of one byte
  std::vector<std::byte> values_;          // float types: 4096 values, encoded
};

}  // namespace gantry
