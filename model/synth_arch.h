// What an architecture's file holds: its tensors and metadata, from sizes that go together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/synth.h"
#include "model/synth_gguf.h"

namespace gantry {

// How the matrices are stored.
struct SynthQuant {
  std::string_view name;
  uint32_t type = 0;   // model/tensor_type.h
  uint32_t more = 0;   // of the output matrix, and of half the values and down matrices
  uint32_t ftype = 0;  // what general.file_type says
};
const SynthQuant* synth_quant(std::string_view name);

// Collects a file while its architecture is spelled out.
class SynthDraft {
 public:
  // `size` is resolved: head_size is not zero where there are heads. Both must outlive the draft.
  SynthDraft(const SynthShape& size, const SynthQuant& quant) : size_(size), quant_(quant) {}

  enum class Weight { kPlain, kMore, kOutput };
  // shape: (in, out) or (in, out, experts). Spread 1 / sqrt(in), which keeps unit variance.
  SynthTensor& matrix(std::string name, std::vector<uint64_t> shape, Weight = Weight::kPlain);
  // Small, F32.
  SynthTensor& small(std::string name, std::vector<uint64_t> shape, SynthFill fill, double spread);
  void norm(const std::string& name, uint64_t width) {
    small(name + ".weight", {width}, SynthFill::kOnes, 0.1);
  }
  void bias(const std::string& name, uint64_t width) {
    small(name + ".bias", {width}, SynthFill::kNormal, 0.02);
  }

  template <class T>
  void key(std::string_view suffix, const T& value) {
    head.set(std::string(size_.architecture) + "." + std::string(suffix), value);
  }
  void use_layer(uint32_t layer) { layer_ = layer; }
  std::string in_layer(std::string_view name) const;

  const SynthShape& size() const { return size_; }

  GgufHead head;
  std::vector<SynthTensor> tensors;

 private:
  uint32_t type_for(uint64_t width, Weight weight) const;

  const SynthShape& size_;
  const SynthQuant& quant_;
  uint32_t layer_ = 0;
};

// Adds everything that depends on the architecture. False where it is unknown.
bool draft_architecture(SynthDraft* draft);

// Whether such a model attends at all, and whether it speaks.
bool has_attention(std::string_view architecture);
bool is_encoder(std::string_view architecture);

}  // namespace gantry
