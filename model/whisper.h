// whisper.cpp's ggml file: header, mel filters, vocabulary, then tensors, each a short header
// directly followed by its data. Checked completely; tensor data is never read.
//
// Layout (little-endian): magic u32 0x67676d6c; 11 numbers of i32 (WhisperShape, then ftype);
// mel count and FFT bins i32 and as many f32; token count i32, each token u32 length and bytes;
// until the end of the file tensors: dimensions, name length and type i32, each dimension i32,
// name, data.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry {

constexpr uint32_t kWhisperMagic = 0x67676d6c;
constexpr uint32_t kWhisperVocabMax = 1 << 20;
constexpr uint32_t kWhisperContextMax = 1 << 16;
constexpr uint32_t kWhisperStateMax = 1 << 14;
constexpr uint32_t kWhisperHeadsMax = 1 << 10;
constexpr uint32_t kWhisperLayersMax = 512;
constexpr uint32_t kWhisperMelsMax = 1'024;
constexpr uint32_t kWhisperBinsMax = 1 << 16;
constexpr uint32_t kWhisperTokenMax = 1'024;      // bytes
constexpr uint32_t kWhisperTensorNameMax = 127;   // bytes

struct WhisperShape {
  uint32_t vocab = 0;
  uint32_t audio_context = 0;
  uint32_t audio_state = 0;
  uint32_t audio_heads = 0;
  uint32_t audio_layers = 0;
  uint32_t text_context = 0;
  uint32_t text_state = 0;
  uint32_t text_heads = 0;
  uint32_t text_layers = 0;
  uint32_t mels = 0;
};

struct WhisperTensor {
  std::string_view name;  // a view into the file
  uint32_t type = 0;      // tensor_type(type) is not null
  std::array<uint64_t, 3> shape{};
  uint64_t at = 0;        // offset of the data in the file
  uint64_t elements = 0;
  uint64_t bytes = 0;
};

struct WhisperFile {
  WhisperShape shape;
  uint32_t weight_type = 0;  // tensor type of the large matrices
  uint32_t tokens = 0;       // in the file; the program adds the special ones
  std::vector<WhisperTensor> tensors;  // every tensor of the architecture exactly once
};

// What a file of this shape holds: name, type and sizes of every tensor, in no file's order. The
// names live in `names`.
std::vector<WhisperTensor> whisper_tensors(const WhisperShape& shape, uint32_t weight_type,
                                           std::deque<std::string>* names);

// kCorrupt, kTooLarge or kUnsupported, naming field, offset and value. Every tensor must be one
// that the numbers at the front call for, with its name, shape and type.
[[nodiscard]] Result<WhisperFile> read_whisper(std::span<const std::byte> file);

}  // namespace gantry
