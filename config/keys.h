// The keys of a config file, as tables: the parser and the published schema read the same rows.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "config/values.h"

namespace gantry {

// What a value looks like; the schema is made from it.
enum class Shape {
  kText, kTexts, kFlag, kCount, kBytes, kBudget, kCacheType, kModelKind, kStream, kGrowth,
  kReserve, kEnv, kMacros, kModels, kGroups, kNumber, kLatency, kAllow, kShortage, kPrefer,
  kExclusive, kVoiceEngine, kAny
};

inline constexpr std::string_view kModelKinds[] = {"language",  "vision", "speech",
                                                   "embedding", "voice",  "diarization"};

// Filled while a file is read.
struct FileKeyState {
  Config* config = nullptr;
  Macros macros;
  std::string api_key_file;  // to be read by load_config
  std::map<std::string, std::string> names;  // name or alias -> the model that owns it
};

struct ModelKeyState {
  ModelConfig* model = nullptr;
  Macros macros;
};

// One key; without `read` it is known and has no effect yet (llama-swap's), which is a warning.
template <class State>
struct ConfigKey {
  std::string_view name;
  Shape shape;
  std::string_view about;
  Result<void> (*read)(ConfigReader&, const YamlNode&, State*) = nullptr;
};

std::span<const ConfigKey<FileKeyState>> file_keys();
std::span<const ConfigKey<ModelKeyState>> model_keys();
std::span<const ConfigKey<GroupConfig>> group_keys();

// Every entry of a map through its table: unknown keys are errors that say what was meant.
template <class State>
[[nodiscard]] Result<void> read_keys(ConfigReader& reader, const YamlNode& map,
                                     std::span<const ConfigKey<State>> keys, State* state) {
  if (auto sound = reader.want_map(map); !sound) return sound;
  for (const YamlEntry& entry : map.entries) {
    const ConfigKey<State>* found = nullptr;
    std::vector<std::string_view> known;
    for (const ConfigKey<State>& key : keys) {
      known.push_back(key.name);
      if (key.name == entry.key.text) found = &key;
    }
    if (found == nullptr) {
      const std::string meant = nearest(entry.key.text, known);
      return fail(reader.error(entry.key, "unknown key " + in_quotes(entry.key.text),
                               meant.empty() ? "see `gantry config schema` for the keys"
                                             : "did you mean " + in_quotes(meant) + "?"));
    }
    if (found->read == nullptr) {
      reader.warn(entry.key, in_quotes(entry.key.text) + " has no effect here");
      continue;
    }
    if (auto done = found->read(reader, entry.value, state); !done) return done;
  }
  return {};
}

// `models:` and `groups:`; called once the file's macros are known.
[[nodiscard]] Result<void> read_models(ConfigReader& reader, const YamlNode& map,
                                       FileKeyState* state);
[[nodiscard]] Result<void> read_groups(ConfigReader& reader, const YamlNode& map,
                                       FileKeyState* state);

// A whole file on top of what state->config holds already.
[[nodiscard]] Result<void> read_file_keys(ConfigReader& reader, const std::string& text,
                                          FileKeyState* state);

// HOST:PORT or [ADDRESS]:PORT.
bool is_listen_address(std::string_view text);

}  // namespace gantry
