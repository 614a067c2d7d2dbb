// sherpa-onnx's recognisers, punctuation and denoiser behind one shape each.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "voice/options.h"

namespace gantry {

// What a recogniser heard in a piece.
struct HeardPart {
  std::string text;
  Millis start{0}, end{0};  // within the piece; both 0: the engine tells no times
  double confidence = 1;    // 1 where the engine tells none
};

class Ears {
 public:
  virtual ~Ears() = default;
  // `samples`: 16 kHz, -1 to 1. In order; texts are trimmed, none is empty.
  [[nodiscard]] virtual Result<std::vector<HeardPart>> hear(std::span<const float> samples) = 0;
};

[[nodiscard]] Result<std::unique_ptr<Ears>> load_ears(const VoiceOptions& options);

// Option `denoise`: the same sound with less noise in it.
class Denoiser {
 public:
  virtual ~Denoiser() = default;
  [[nodiscard]] virtual Result<std::vector<float>> clean(std::span<const float> samples) = 0;
};
[[nodiscard]] Result<std::unique_ptr<Denoiser>> load_denoiser(const VoiceOptions& options);

// Option `punctuation`: the same words with marks between them.
class Punctuation {
 public:
  virtual ~Punctuation() = default;
  virtual std::string mark(const std::string& text) = 0;
};
[[nodiscard]] Result<std::unique_ptr<Punctuation>> load_punctuation(const VoiceOptions& options);

}  // namespace gantry
