// GGUF versions 2 and 3: header, metadata and tensor table, checked; tensor data is never read.
//
// Layout (little-endian): "GGUF", version u32, tensor count u64, pair count u64; pairs: key
// (u64 length, bytes), type u32, value; tensors: name, dimensions u32, each u64, type u32, offset
// u64; padding to the alignment; data, tensor after tensor, each padded to the alignment.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/tensor_type.h"

namespace gantry {

// With these, the parsed form stays under 16 MiB whatever the file says.
constexpr uint64_t kGgufPairsMax = 65'536;
constexpr uint64_t kGgufTensorsMax = 65'536;
constexpr uint64_t kGgufKeyMax = 1'024;        // bytes; longest known: 60
constexpr uint64_t kGgufTensorNameMax = 63;    // bytes, as in ggml
constexpr uint32_t kGgufDimensionsMax = 4;
constexpr uint32_t kGgufAlignmentMax = 1 << 20;
constexpr uint32_t kGgufAlignmentDefault = 32;

enum class GgufType : uint32_t {
  kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64,
};
constexpr uint32_t kGgufTypeCount = 13;
std::string_view gguf_type_name(GgufType type);  // "u32", "string"

// One metadata pair; views into the file. Of an array, `type` is its elements' type.
struct GgufPair {
  std::string_view key;
  GgufType type = GgufType::kU8;
  bool is_array = false;
  uint64_t count = 1;
  uint64_t at = 0;                  // offset of the value in the file
  std::span<const std::byte> raw;   // string: its characters; array of strings: with lengths

  // Element i as a number that is not negative; nothing for other types and values.
  std::optional<uint64_t> whole(uint64_t i = 0) const;
  std::optional<bool> flag() const;
  std::optional<std::string_view> text() const;
};

struct GgufTensor {
  std::string_view name;
  uint32_t type = 0;                                   // tensor_type(type) is not null
  uint32_t dimensions = 0;                             // 0 is a scalar
  std::array<uint64_t, kGgufDimensionsMax> shape{};    // (fastest, ..., slowest), 1 where unused
  uint64_t offset = 0;                                 // from the start of the data
  uint64_t elements = 0;
  uint64_t bytes = 0;                                  // without padding
};

struct Gguf {
  uint32_t version = 0;
  uint32_t alignment = kGgufAlignmentDefault;
  uint64_t data_at = 0;               // offset of the data in the file
  std::vector<GgufPair> pairs;        // in file order, keys unique
  std::vector<GgufTensor> tensors;    // in file order, names unique, data without gap or overlap

  const GgufPair* find(std::string_view key) const;
};

// kCorrupt, kTooLarge or kUnsupported, naming field, offset and value. Accepts only what ggml's
// own reader accepts, and requires besides: every tensor's data inside the file, no empty tensor,
// names of clean UTF-8, booleans of 0 or 1, and the limits above.
[[nodiscard]] Result<Gguf> read_gguf(std::span<const std::byte> file);

}  // namespace gantry
