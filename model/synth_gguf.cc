// GGUF version 3, little-endian, alignment 32.
#include "model/synth_gguf.h"

#include <cstring>
#include <functional>
#include <numeric>

#include "model/gguf.h"
#include "model/tensor_type.h"

namespace gantry {

namespace {

template <class T>
void put(std::string* out, T value) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  out->append(raw, sizeof(T));
}

void put_text(std::string* out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out->append(text);
}

void put_key(std::string* out, std::string_view key, GgufType type) {
  put_text(out, key);
  put(out, static_cast<uint32_t>(type));
}

template <class T>
void put_list(std::string* out, std::string_view key, GgufType type, const std::vector<T>& values) {
  put_key(out, key, GgufType::kArray);
  put(out, static_cast<uint32_t>(type));
  put<uint64_t>(out, values.size());
  for (const T& value : values) put(out, value);
}

uint64_t padded(uint64_t n) {
  return (n + kGgufAlignmentDefault - 1) / kGgufAlignmentDefault * kGgufAlignmentDefault;
}

}  // namespace

void GgufHead::set(std::string_view key, uint32_t value) {
  put_key(&pairs_, key, GgufType::kU32);
  put(&pairs_, value);
  ++count_;
}

void GgufHead::set(std::string_view key, float value) {
  put_key(&pairs_, key, GgufType::kF32);
  put(&pairs_, value);
  ++count_;
}

void GgufHead::set(std::string_view key, bool value) {
  put_key(&pairs_, key, GgufType::kBool);
  put<uint8_t>(&pairs_, value ? 1 : 0);
  ++count_;
}

void GgufHead::set(std::string_view key, std::string_view value) {
  put_key(&pairs_, key, GgufType::kString);
  put_text(&pairs_, value);
  ++count_;
}

void GgufHead::set(std::string_view key, const std::vector<uint32_t>& values) {
  put_list(&pairs_, key, GgufType::kU32, values);
  ++count_;
}

void GgufHead::set(std::string_view key, const std::vector<int32_t>& values) {
  put_list(&pairs_, key, GgufType::kI32, values);
  ++count_;
}

void GgufHead::set(std::string_view key, const std::vector<float>& values) {
  put_list(&pairs_, key, GgufType::kF32, values);
  ++count_;
}

void GgufHead::set(std::string_view key, const std::vector<std::string>& values) {
  put_key(&pairs_, key, GgufType::kArray);
  put(&pairs_, static_cast<uint32_t>(GgufType::kString));
  put<uint64_t>(&pairs_, values.size());
  for (const std::string& value : values) put_text(&pairs_, value);
  ++count_;
}

void GgufHead::general(std::string_view architecture, std::string_view type,
                       std::string_view name, uint32_t ftype) {
  set("general.architecture", architecture);
  set("general.type", type);
  set("general.name", name);
  set("general.description", "random weights by gantry synth");
  set("general.file_type", ftype);
  set("general.quantization_version", 2U);
}

void GgufHead::finish(std::vector<SynthTensor> tensors, SynthModel* model) const {
  std::string head = "GGUF";
  put<uint32_t>(&head, 3);
  put<uint64_t>(&head, tensors.size());
  put<uint64_t>(&head, count_);
  head += pairs_;
  uint64_t offset = 0;
  for (SynthTensor& tensor : tensors) {
    put_text(&head, tensor.name);
    put(&head, static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t size : tensor.shape) put(&head, size);
    put(&head, tensor.type);
    put(&head, offset);
    const uint64_t elements = std::accumulate(tensor.shape.begin(), tensor.shape.end(),
                                              uint64_t{1}, std::multiplies<>());
    const TensorType& type = *tensor_type(tensor.type);
    tensor.offset = offset;
    tensor.bytes = elements / type.block * type.bytes;
    offset = padded(offset + tensor.bytes);
    model->parameters += elements;
  }
  head.resize(padded(head.size()));
  for (SynthTensor& tensor : tensors) tensor.offset += head.size();
  model->bytes = head.size() + offset;
  model->head = std::move(head);
  model->tensors = std::move(tensors);
}

}  // namespace gantry
