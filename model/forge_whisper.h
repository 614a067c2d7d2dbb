// Whisper files for tests: right, or wrong in one place on purpose. Tests only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/forge.h"

namespace gantry {

// Index into WhisperForge::numbers, in file order.
enum WhisperNumber : size_t {
  kVocabNumber, kAudioContextNumber, kAudioStateNumber, kAudioHeadsNumber, kAudioLayersNumber,
  kTextContextNumber, kTextStateNumber, kTextHeadsNumber, kTextLayersNumber, kMelsNumber,
  kFtypeNumber, kWhisperNumbers,
};
constexpr std::array<const char*, kWhisperNumbers> kWhisperNumberNames = {
    "n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx",
    "n_text_state", "n_text_head", "n_text_layer", "n_mels", "ftype"};

struct ForgedWhisperTensor {
  std::string name;
  std::vector<int32_t> shape;
  int32_t type = 0;
  std::optional<int32_t> dimensions = std::nullopt;  // declared instead of the true ones
  std::optional<int32_t> name_bytes = std::nullopt;
};

struct WhisperForge {
  uint32_t magic = 0x67676d6c;
  std::array<int32_t, kWhisperNumbers> numbers{};
  int32_t filter_mels = 0;
  int32_t filter_bins = 0;
  std::vector<std::string> tokens;
  std::optional<int32_t> token_count = std::nullopt;  // declared instead of the true one
  std::optional<uint32_t> token_bytes = std::nullopt;  // of the first, likewise
  std::vector<ForgedWhisperTensor> tensors;

  ForgedWhisperTensor& named(const std::string& name);
  // Offsets where a part begins are where a truncation is worth a test.
  std::string bytes(std::vector<size_t>* starts = nullptr) const;
};

// One encoder and one decoder block, state 32, 2 heads, 4 mels, vocabulary 8.
// weight_type: F32 0, F16 1, or a quantised type with blocks of 32.
WhisperForge forge_whisper(int32_t weight_type = 1, int32_t audio_layers = 1,
                           int32_t text_layers = 1);

}  // namespace gantry
