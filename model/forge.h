// Model files for tests: small and right, or wrong in one place on purpose. Tests only.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/gguf.h"

namespace gantry {

// Little-endian bytes, appended.
struct Ink {
  std::string out;

  template <class T>
  Ink& put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    out.append(raw, sizeof(T));
    return *this;
  }
  Ink& raw(std::string_view bytes) {
    out += bytes;
    return *this;
  }
  Ink& text(std::string_view bytes) { return put<uint64_t>(bytes.size()).raw(bytes); }
  Ink& zeros(uint64_t count) {
    out.append(count, '\0');
    return *this;
  }
};

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

struct ForgedTensor {
  std::string name;
  std::vector<uint64_t> shape;
  uint32_t type = 0;
  std::optional<uint64_t> offset = std::nullopt;     // declared instead of the true one
  std::optional<uint32_t> dimensions = std::nullopt;  // likewise
};

// Writes what it is told, true or not. Sums are the caller's: shapes that overflow need no data.
struct GgufForge {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> pair_count = std::nullopt;    // declared instead of the true ones
  std::optional<uint64_t> tensor_count = std::nullopt;
  uint64_t alignment = 32;
  std::vector<std::pair<std::string, std::string>> pairs;  // key; type and value, encoded
  std::vector<ForgedTensor> tensors;
  bool with_data = true;

  template <class T>
  GgufForge& set(std::string key, GgufType type, T value) {
    return encoded(std::move(key), Ink().put(static_cast<uint32_t>(type)).put(value).out);
  }
  GgufForge& set(std::string key, uint32_t value) {
    return set(std::move(key), GgufType::kU32, value);
  }
  GgufForge& set(std::string key, std::string_view value) {
    return encoded(std::move(key), Ink().put<uint32_t>(8).text(value).out);
  }
  template <class T>
  GgufForge& list(std::string key, GgufType type, const std::vector<T>& values) {
    Ink ink;
    ink.put<uint32_t>(9).put(static_cast<uint32_t>(type)).put<uint64_t>(values.size());
    for (const T value : values) ink.put(value);
    return encoded(std::move(key), ink.out);
  }
  GgufForge& strings(std::string key, const std::vector<std::string>& values) {
    Ink ink;
    ink.put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(values.size());
    for (const std::string& value : values) ink.text(value);
    return encoded(std::move(key), ink.out);
  }
  // Replaces the pair of that key, or adds it.
  GgufForge& encoded(std::string key, std::string value) {
    for (auto& [there, old] : pairs) {
      if (there == key) {
        old = std::move(value);
        return *this;
      }
    }
    pairs.emplace_back(std::move(key), std::move(value));
    return *this;
  }
  GgufForge& without(std::string_view key) {
    std::erase_if(pairs, [&](const auto& pair) { return pair.first == key; });
    return *this;
  }
  GgufForge& tensor(std::string name, std::vector<uint64_t> shape, uint32_t type = 0) {
    tensors.push_back({std::move(name), std::move(shape), type});
    return *this;
  }

  uint64_t padded(uint64_t n) const {
    return alignment == 0 ? n : (n + alignment - 1) / alignment * alignment;
  }
  static uint64_t data_bytes(const ForgedTensor& tensor) {
    const TensorType* type = tensor_type(tensor.type);
    if (type == nullptr) return 0;
    uint64_t elements = 1;
    for (const uint64_t size : tensor.shape) elements *= size;
    return elements / type->block * type->bytes;
  }
  // Everything before the data's padding.
  std::string metadata() const {
    Ink ink;
    ink.raw(magic).put(version);
    ink.put(tensor_count.value_or(tensors.size())).put(pair_count.value_or(pairs.size()));
    for (const auto& [key, value] : pairs) ink.text(key).raw(value);
    uint64_t offset = 0;
    for (const ForgedTensor& tensor : tensors) {
      ink.text(tensor.name);
      ink.put(tensor.dimensions.value_or(static_cast<uint32_t>(tensor.shape.size())));
      for (const uint64_t size : tensor.shape) ink.put(size);
      ink.put(tensor.type).put(tensor.offset.value_or(offset));
      offset = padded(offset + data_bytes(tensor));
    }
    return ink.out;
  }
  std::string bytes() const {
    Ink ink{metadata()};
    if (tensors.empty() || !with_data) return ink.out;
    ink.zeros(padded(ink.out.size()) - ink.out.size());
    const uint64_t start = ink.out.size();
    for (const ForgedTensor& tensor : tensors) {
      ink.zeros(padded(ink.out.size() - start) + start - ink.out.size());
      ink.zeros(data_bytes(tensor));
    }
    return ink.out;
  }
};

// A language model of the given architecture: 2 layers, embedding 64, 4 heads (2 for KV), context
// 512, vocabulary 32, matrices in the given type (block of at most 64).
GgufForge forge_language(const std::string& architecture = "llama", uint32_t type = 1,
                         uint32_t layers = 2);

// A projector with a vision encoder of 2 blocks.
GgufForge forge_projector();

}  // namespace gantry
