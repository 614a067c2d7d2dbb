// From tensors to a card's groups: the same rules for files that were read and for shapes that are
// only known (model/catalogue.h).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "model/card.h"
#include "model/tensor_type.h"
#include "model/whisper.h"

namespace gantry {

// How llama.cpp cuts it for several devices: llama_meta_device_get_split_state().
enum class Slice : uint8_t { kWhole, kHeads, kHeadRows, kWidth, kWidthRows, kWords };

// A tensor's group, and whether it holds routed experts.
struct TensorPlace {
  Part part = Part::kOther;
  int layer = -1;
  bool expert = false;
  Slice slice = Slice::kWhole;
};
TensorPlace gguf_place(std::string_view name);
TensorPlace whisper_place(std::string_view name);

// Adds up tensors by group and by type.
class CardGroups {
 public:
  // `row`: elements of its fastest dimension; 0: nobody cuts it.
  void add(const TensorPlace& place, uint32_t type, uint64_t elements, uint64_t bytes,
           uint64_t row = 0);
  // Sets groups, weight_bytes, parameters and quantisation.
  void finish(ModelCard* card) const;

 private:
  std::map<std::pair<Part, int>, TensorGroup> groups_;
  std::array<uint64_t, kTensorTypeCount> by_type_{};
  uint64_t parameters_ = 0;
};

// Dimensions and caches of a whisper model.
void whisper_geometry(const WhisperShape& shape, ModelCard* card);

}  // namespace gantry
