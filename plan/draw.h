// llama.cpp's graphs as sketches: what a context of one model reserves for computing, by device.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "plan/plan.h"

namespace gantry {

// Layers in the model's order: those on the CPU first, then so many on each accelerator.
struct Drawn {
  std::vector<uint64_t> bytes;  // of each accelerator, then of the CPU
};

// The whole of wish.card in one process with wish's batch, context and cache. Of layers that repeat
// a pattern a few rounds are drawn, for the allocator then goes round in circles; where weights of
// the host are copied to a device, their types are part of the pattern. `every_layer`: for tests.
// Architectures that are not known are drawn as llama's, with whatever the card says.
Drawn draw_llama(const Wish& wish, const std::vector<Split>& splits, bool every_layer = false);

// The same for many splits of one wish, which must outlive it: those that only differ in how many
// layers are alike are drawn once.
class Drawings {
 public:
  explicit Drawings(const Wish& wish) : wish_(wish) {}
  const std::vector<uint64_t>& of(const std::vector<Split>& splits);

 private:
  const Wish& wish_;
  std::vector<const TensorGroup*> weights_;  // of each layer; see draw.cc
  std::map<std::vector<uint64_t>, std::vector<uint64_t>> known_;
};

}  // namespace gantry
