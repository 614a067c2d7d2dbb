// The keys of a config file, as tables: the parser and the published schema read the same rows.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/values.h"

namespace gantry {

// What a value looks like; the schema is made from it.
enum class Shape {
  kText, kTexts, kFlag, kCount, kBytes, kBudget, kCacheType, kModelKind, kEncoder, kVad, kStream,
  kGrowth, kReserve, kEnv, kMacros, kModels, kGroups, kNumber, kLatency, kAllow, kShortage, kPrefer,
  kExclusive, kVoiceEngine, kNames, kMode, kNpuWorker, kAny
};

inline constexpr std::string_view kModelKinds[] = {
    "language", "vision", "speech", "embedding", "voice", "diarization", "vad"};

// Where a file says that a model is one of others: those may be in another file.
struct MemberPlace {
  std::string choice, member, place;  // "FILE:LINE:COLUMN"
};

// `npu_worker:`, which becomes a model (config/npu_worker_config.h).
struct NpuWorkerConfig {
  uint16_t port = 8081;
  std::string listen = "127.0.0.1", device = "auto", key_file;
  std::vector<std::string> models;  // names of configured ones, files, folders, NAME=PATH
  std::vector<std::string> places;  // "FILE:LINE:COLUMN" of each
  std::optional<Bytes> memory;      // absent: by the models' files
  std::string place;                // of the whole
};

// Filled while a file is read.
struct FileKeyState {
  Config* config = nullptr;
  Macros macros;
  std::string api_key_file;  // to be read by load_config
  std::optional<NpuWorkerConfig> npu_worker;  // likewise
  std::map<std::string, std::string> names;  // name or alias -> the model that owns it
  std::vector<MemberPlace> members;
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
