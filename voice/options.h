// What gantry-voice is told on its command line.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "worker/segment.h"

namespace gantry {

struct VoiceOptions {
  std::string engine;                          // of model/voice_keys.h
  std::map<std::string, std::string> values;   // by its keys
  std::vector<std::pair<std::string, std::string>> voices;  // a name, and the engine's number
  int threads = 1;
  SpeakerWish speakers;

  // The value of a key, or "": never null, as the C API wants it.
  const char* text(const char* key) const;
  float number(const char* key, float otherwise) const;
};

// "KEY=VALUE" into the pair. kUsage.
[[nodiscard]] Result<std::pair<std::string, std::string>> split_setting(const std::string& word);

// Every key is one of the engine's, the required ones are there, files can be read, numbers are
// some. kUsage, kNotFound: names the key.
[[nodiscard]] Result<void> check_options(const VoiceOptions& options);

}  // namespace gantry
