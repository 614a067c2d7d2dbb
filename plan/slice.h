// One model's matrices cut over several accelerators that all compute at once: llama.cpp's
// --split-mode tensor. Which device gets which heads and columns, and what each holds whole,
// follows llama_meta_device_get_split_state() and ggml-backend-meta.cpp (ggml 0.25.3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "plan/speed_work.h"

namespace gantry {

// Shares of a model are eighths: no finer than the heads of most.
constexpr uint32_t kShares = 8;

// The architecture is one that llama.cpp cuts, with attention and its cache in every layer, flash
// attention is on, and what there is to cut is known.
bool can_slice(const Wish& wish);
// Those of `among` that can compute one model at once: cards of one backend that sums over cards by
// itself, with a measured link. The largest group.
std::vector<std::string> slicing_devices(const Machine& machine,
                                         const std::vector<std::string>& among);

// Of one layer, a device's part of what is cut.
struct Portion {
  double heads = 0, width = 0;
};

// What is the same for all ways to cut one wish, which must outlive it and can_slice().
class Slicing {
 public:
  explicit Slicing(const Wish& wish);
  // One need a split, then host memory. Nothing where a device would have no part of some layer:
  // the engine would compute with it for nothing.
  [[nodiscard]] std::optional<std::vector<Need>> needs(const std::vector<Split>& splits);

 private:
  struct Layer {
    const TensorGroup* weights = nullptr;
    uint64_t kv = 0;
    uint32_t alike = 0;  // layers of its kind before it: rounding goes from device to device
  };
  const Wish& wish_;
  std::vector<Layer> layers_;
  std::optional<Need> graph_;  // of a single device, once asked for
  std::optional<Need> host_;
};

// Of the first layer, where rounding favours each device in turn: (rotation, device).
std::vector<std::vector<Portion>> portions(const Wish& wish, const std::vector<Split>& splits);
// What a device with that portion of every layer has to do of `whole`.
PartWork sliced_work(const ModelCard& card, const PartWork& whole, const Portion& portion,
                     double words);

// The slowest way between two of them, over the host where they have no other; both directions at
// once. Nothing where it was not measured.
std::optional<double> link_between(const Machine& machine, const std::vector<Split>& splits);
// Bytes that one card sends and receives to add up partial results of so many tokens, in all
// layers, and how often it waits for the others.
struct Reduction {
  double bytes = 0, waits = 0;
};
Reduction reduction_of(const Wish& wish, size_t devices, double tokens);
// What each device holds of the others' partial results meanwhile.
Bytes reduction_bytes(const Wish& wish, size_t devices);

}  // namespace gantry
