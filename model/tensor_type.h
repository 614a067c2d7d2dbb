// The element types that ggml stores: how many elements make a block, how many bytes a block has.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gantry {

struct TensorType {
  std::string_view name;  // "F16", "Q4_K"; empty: a number that is not in use
  uint32_t block = 0;     // elements
  uint32_t bytes = 0;     // of one block
};

constexpr uint32_t kTensorTypeCount = 43;  // ggml 0.25.3: ids 0 to 42

// Nothing for numbers that were never given or whose layout was removed (4, 5, 31-33, 36-38).
const TensorType* tensor_type(uint32_t id);

// The type that ggml's "ftype" number f gives to matrices; nothing where there is none.
std::optional<uint32_t> tensor_type_of_ftype(uint32_t ftype);

// Bytes of `elements` elements: whole blocks only. Nothing where that does not fit 64 bits.
std::optional<uint64_t> tensor_bytes(const TensorType& type, uint64_t elements);

}  // namespace gantry
