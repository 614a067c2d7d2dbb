// Writes the start of a GGUF file: metadata pairs and the tensor table, padded to where the data
// begins. See model/gguf.h for the layout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/synth.h"

namespace gantry {

class GgufHead {
 public:
  // The keys that say what the file is; ftype as in llama.cpp's llama_ftype.
  void general(std::string_view architecture, std::string_view type, std::string_view name,
               uint32_t ftype);
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, bool value);
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const std::vector<uint32_t>& values);
  void set(std::string_view key, const std::vector<int32_t>& values);
  void set(std::string_view key, const std::vector<float>& values);
  void set(std::string_view key, const std::vector<std::string>& values);

  // Places the tensors one after the other, and completes the model's head, sizes and counts.
  void finish(std::vector<SynthTensor> tensors, SynthModel* model) const;

 private:
  std::string pairs_;
  uint64_t count_ = 0;
};

}  // namespace gantry
