// Settings by name, checked before the engine sees them: it ends the process for less.
#include "voice/options.h"

#include <unistd.h>

#include <charconv>
#include <cmath>

#include "base/os.h"
#include "model/voice_keys.h"

namespace gantry {

namespace {

bool is_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

Result<void> check_value(const VoiceKey& key, const std::string& value) {
  const std::string name(key.name);
  if (key.shape == VoiceKeyShape::kNumber && !is_number(value)) {
    return fail(Code::kUsage, name + " is no number: " + value);
  }
  if (key.shape == VoiceKeyShape::kFile && ::access(value.c_str(), R_OK) != 0) {
    return fail(os_error("cannot read the " + name + " file " + value, errno));
  }
  return {};
}

}  // namespace

const char* VoiceOptions::text(const char* key) const {
  const auto found = values.find(key);
  return found == values.end() ? "" : found->second.c_str();
}

float VoiceOptions::number(const char* key, float otherwise) const {
  const auto found = values.find(key);
  return found == values.end() ? otherwise : std::stof(found->second);
}

Result<std::pair<std::string, std::string>> split_setting(const std::string& word) {
  const size_t cut = word.find('=');
  if (cut == 0 || cut == std::string::npos) {
    return fail(Code::kUsage, "'" + word + "' is no KEY=VALUE");
  }
  return std::pair{word.substr(0, cut), word.substr(cut + 1)};
}

Result<void> check_options(const VoiceOptions& options) {
  const VoiceEngine* engine = find_voice_engine(options.engine);
  if (engine == nullptr) return fail(Code::kUsage, "there is no engine " + options.engine);
  for (const auto& [name, value] : options.values) {
    const VoiceKey* key = find_voice_key(*engine, name);
    if (key == nullptr) return fail(Code::kUsage, options.engine + " has no option " + name);
    if (Result<void> sound = check_value(*key, value); !sound) return sound;
  }
  for (const VoiceKey& key : engine->keys) {
    if (key.required && !options.values.contains(std::string(key.name))) {
      return fail(Code::kUsage, options.engine + " needs " + std::string(key.name),
                  "name it under `options:` of the model");
    }
  }
  return {};
}

}  // namespace gantry
