// Which weights stay on the device and which stream. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stream/options.h"

namespace gantry {

// Weights under this size are always resident: norms, biases, routers. Streaming them would cut the
// graph where kernels fuse, and cost a request each.
constexpr uint64_t kSmallWeight = 64 << 10;

// What whole pages take of the small weights' buffer and of the ring's.
constexpr uint64_t kPageSlack = 4 * kReadAlign;

// Buffers of a loader for reads on their way through host memory.
constexpr size_t kStagingBuffers = 8;
constexpr uint64_t kStagingLeast = 1ull << 20;  // bytes of all of them
constexpr uint64_t kStagingMost = 32ull << 20;

struct WeightFact {
  std::string name;
  uint32_t layer = 0;      // what belongs to no layer: the number of layers
  uint64_t bytes = 0;      // on the device
  bool expert = false;     // one matrix an expert, picked by a router
  bool cache = false;      // KV: moves both ways, so it is resident before any weight
};

struct ResidencyAsk {
  std::vector<WeightFact> weights;
  uint32_t layers = 0;
  LayerOrder order = LayerOrder::kInterleave;
  // Exactly so many layers, and everything that belongs to none; else as many bytes as `room` has.
  std::optional<uint32_t> resident_layers;
  uint64_t room = UINT64_MAX;  // for resident weights, ring and expert cache
  uint64_t taken = 0;  // of the device budget, by others: for the message when nothing fits
  uint64_t ring = 0;           // wanted; 0: chosen here
  uint64_t experts = 0;        // wanted; 0: chosen here
  uint64_t largest_piece = 0;  // of weights that must be there together
  uint64_t experts_least = 0;  // one layer's experts of each shape: what a large batch uses at once
};

struct Residency {
  std::vector<bool> resident;  // of each weight; experts: only if all of them are
  uint64_t resident_bytes = 0;
  uint64_t ring = 0;     // at most; 0: nothing streams
  uint64_t experts = 0;  // for the cache; 0: no experts, or all resident
  bool whole = false;    // nothing streams
  bool as_asked = true;  // false: there was no room for so many layers
};

// kDoesNotFit with the bytes that the smallest way needs.
[[nodiscard]] Result<Residency> choose_residency(const ResidencyAsk& ask);

// All staging buffers of a loader beside so many bytes for weights: enough for the disk, but never
// much of a small budget. On the CPU the experts' are taken from the room itself.
uint64_t staging_bytes(uint64_t room);

// The least room in which anything streams.
uint64_t least_room(const ResidencyAsk& ask);

// The layers in the order in which they are made resident.
std::vector<uint32_t> residency_order(uint32_t layers, LayerOrder order, uint32_t wanted);

}  // namespace gantry
