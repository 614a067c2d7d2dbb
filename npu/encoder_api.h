// What a speech worker and the library that holds OpenVINO say to each other. The worker loads it
// only where an encoder is asked for, so that it stays small otherwise, and knows nothing of
// OpenVINO. Plain functions over plain values; no exception crosses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace gantry {

constexpr uint32_t kEncoderAbi = 1;
constexpr const char* kEncoderSymbol = "gantry_encoder_api";

// A message or a list of names, cut to fit.
using EncoderText = std::array<char, 512>;

struct EncoderShape {
  uint32_t mels = 0, frames = 0;   // of the input, (mels, frames)
  uint32_t states = 0, width = 0;  // of the output, (states, width)
  bool operator==(const EncoderShape&) const = default;
};

// The numbers of a whisper model's encoder, checked, and where its tensors are: `read` writes the
// tensor of that name as floats, or returns false, which ends the conversion.
struct EncoderModel {
  uint32_t mels = 0, context = 0, state = 0, heads = 0, layers = 0;
  void* user = nullptr;
  bool (*read)(void* user, const char* name, float* out, uint64_t elements) = nullptr;
};

// A false or null answer comes with its cause in `error`.
struct EncoderApi {
  uint32_t abi = kEncoderAbi;
  // "CPU,GPU.0,NPU"
  bool (*devices)(EncoderText* names, EncoderText* error) = nullptr;
  // Compiles for one device. `cache_dir`: where compiled models are kept; empty: nowhere.
  // `answers`: the device that really computes. The result is used by one thread at a time.
  void* (*open)(const char* ir, const char* device, const char* cache_dir, uint32_t threads,
                EncoderShape* shape, EncoderText* answers, EncoderText* error) = nullptr;
  // mel (mels, frames) to states (states, width). After a false answer the encoder is good for
  // close() alone; nothing is written to `states` later on.
  bool (*encode)(void* encoder, const float* mel, float* states, int64_t wait_ms_max,
                 EncoderText* error) = nullptr;
  void (*close)(void* encoder) = nullptr;
  // Writes IR of an encoder with static shapes: `xml`, which ends in .xml, and its .bin.
  bool (*convert)(const EncoderModel* model, const char* xml, EncoderText* error) = nullptr;
};

using EncoderEntry = const EncoderApi* (*)();

}  // namespace gantry
