// For tests: sound in which the recognisers of lab/voice hear words.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "voice/options.h"

namespace gantry {

// Of an engine that lab/voice has a model for.
inline VoiceOptions tone_listener(const std::string& engine) {
  const std::string folder = std::string(GANTRY_VOICE_MODELS) + "/ear_";
  if (engine == "streaming-paraformer") {
    return {.engine = engine,
            .values = {{"encoder", folder + "streaming_encoder.onnx"},
                       {"decoder", folder + "streaming_decoder.onnx"},
                       {"tokens", folder + "paraformer.txt"}}};
  }
  if (engine == "whisper") {
    return {.engine = engine,
            .values = {{"encoder", folder + "whisper_encoder.onnx"},
                       {"decoder", folder + "whisper_decoder.onnx"},
                       {"tokens", folder + "whisper.txt"}}};
  }
  if (engine == "moonshine") {
    return {.engine = engine,
            .values = {{"encoder", folder + "moonshine_encode.onnx"},
                       {"preprocessor", folder + "moonshine_preprocess.onnx"},
                       {"uncached_decoder", folder + "moonshine_uncached.onnx"},
                       {"cached_decoder", folder + "moonshine_cached.onnx"},
                       {"tokens", folder + "moonshine.txt"}}};
  }
  const std::string name = folder + (engine == "paraformer" ? "paraformer" : "sense");
  return {.engine = engine, .values = {{"model", name + ".onnx"}, {"tokens", name + ".txt"}}};
}

inline void add_hush(double seconds, std::vector<int16_t>* out) {
  out->resize(out->size() + static_cast<size_t>(16'000 * seconds));
}

// A tone of a quarter of a second for each word, as high as make_models.py says.
inline void add_words(const std::string& words, std::vector<int16_t>* out) {
  const std::map<std::string, double> hertz = {
      {"turn", 400}, {"on", 560}, {"off", 760}, {"the", 1000}, {"kitchen", 1300},
      {"light", 1650}, {"radio", 2100}, {"please", 2700}};
  constexpr int kSamples = 4'000;
  std::istringstream in(words);
  for (std::string word; in >> word;) {
    for (int i = 0; i < kSamples; ++i) {
      const double hull = std::sin(M_PI * i / kSamples);
      const double wave = std::sin(2 * M_PI * hertz.at(word) * i / 16'000);
      out->push_back(static_cast<int16_t>(9'000 * hull * wave));
    }
  }
}

}  // namespace gantry
