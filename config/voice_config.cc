// Speech engines in a config file, by the table of model/voice_keys.h.
#include "config/voice_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/voice_keys.h"

namespace gantry {

namespace {

constexpr size_t kVoicesMax = 1'024;

Error engines_error(ConfigReader& reader, const YamlNode& at, const std::string& cause,
                    std::string_view kind) {
  std::string names;
  for (const VoiceEngine& engine : voice_engines()) {
    if (!kind.empty() && engine.kind != kind) continue;
    names += (names.empty() ? "" : ", ") + std::string(engine.name);
  }
  return reader.error(at, cause, names.empty() ? "remove engine" : "engines are " + names);
}

Result<std::string> option_value(ConfigReader& reader, const VoiceKey& key, const YamlNode& node) {
  if (key.shape == VoiceKeyShape::kFile) return reader.file(node);
  Result<std::string> text = reader.text(node);
  if (!text || key.shape == VoiceKeyShape::kText) return text;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc() && end == text->data() + text->size() && std::isfinite(value)) {
    return text;
  }
  return fail(reader.error(node, in_quotes(*text) + " is no number"));
}

// `who`: the engine, or what a command serves.
Result<void> read_options(ConfigReader& reader, const YamlNode& map, const std::string& who,
                          std::span<const VoiceKey> further, VoiceConfig* voice) {
  if (auto sound = reader.want_map(map); !sound) return sound;
  for (const YamlEntry& entry : map.entries) {
    const auto key = std::ranges::find(further, entry.key.text, &VoiceKey::name);
    if (key == further.end()) {
      std::string known;
      for (const VoiceKey& other : further) {
        known += (known.empty() ? "" : ", ") + std::string(other.name);
      }
      return fail(reader.error(entry.key,
                               who + " has no option " + in_quotes(entry.key.text),
                               known.empty() ? "it takes none" : "it takes " + known));
    }
    Result<std::string> value = option_value(reader, *key, entry.value);
    if (!value) return fail(value.error());
    voice->options.emplace_back(std::string(key->name), std::move(*value));
  }
  return {};
}

Result<void> read_voices(ConfigReader& reader, const YamlNode& map, VoiceConfig* voice) {
  if (auto sound = reader.want_map(map); !sound) return sound;
  if (map.entries.size() > kVoicesMax) {
    return fail(reader.error(map, "more than " + std::to_string(kVoicesMax) + " voices"));
  }
  for (const YamlEntry& entry : map.entries) {
    Result<std::string> value = reader.text(entry.value);
    if (!value) return fail(value.error());
    if (entry.key.text.empty() || entry.key.text.find('=') != std::string::npos) {
      return fail(reader.error(entry.key, "no name of a voice"));
    }
    voice->voices.emplace_back(entry.key.text, std::move(*value));
  }
  return {};
}

Result<void> check_whole(ConfigReader& reader, const YamlEntry& entry, const VoiceEngine& engine,
                         const ModelConfig& model) {
  if (engine.keys.empty() && !model.file.empty()) {
    return fail(reader.error(entry.key, model.voice.engine + " takes no file", "remove file"));
  }
  for (const VoiceKey& key : engine.keys) {
    const bool first = &key == &engine.keys.front();
    const bool there = first ? !model.file.empty()
                             : std::ranges::any_of(model.voice.options, [&](const auto& option) {
                                 return option.first == key.name;
                               });
    if (there || !key.required) continue;
    const std::string name(key.name);
    const std::string remedy = first                 ? "add file: PATH"
                               : name == "embedding" ? "add embedding: PATH"
                                                     : "add it under options:";
    return fail(reader.error(entry.key, model.voice.engine + " needs " + name, remedy));
  }
  return {};
}

bool serves_sound(std::string_view kind) {
  return kind == "speech" || kind == "voice" || kind == "diarization";
}

// A command that answers in the place of an engine of ours.
Result<void> read_command(ConfigReader& reader, const YamlEntry& entry, ModelConfig* model) {
  VoiceConfig& voice = model->voice;
  if (!voice.engine.empty() || !voice.embedding.empty()) {
    return fail(reader.error(entry.key, "a command takes no engine and no embedding",
                             "remove them, or cmd"));
  }
  if (const YamlNode* options = entry.value.find("options")) {
    const std::string who = "a command of kind " + model->kind;
    if (auto read = read_options(reader, *options, who, command_keys(), &voice); !read) {
      return read;
    }
  }
  const YamlNode* voices = entry.value.find("voices");
  return voices == nullptr ? Result<void>() : read_voices(reader, *voices, &voice);
}

}  // namespace

Result<void> read_voice(ConfigReader& reader, const YamlEntry& entry, ModelKeyState* state) {
  ModelConfig& model = *state->model;
  VoiceConfig& voice = model.voice;
  if (!model.cmd.empty() && serves_sound(model.kind)) {
    return read_command(reader, entry, &model);
  }
  if (voice.engine.empty() && model.kind == "diarization") voice.engine = kDiarizationEngine;
  const YamlNode* options = entry.value.find("options");
  const YamlNode* voices = entry.value.find("voices");
  if (voice.engine.empty()) {
    if (model.kind == "voice") {
      return fail(engines_error(reader, entry.key, "a voice needs engine", "voice"));
    }
    if (options == nullptr && voices == nullptr && voice.embedding.empty()) return {};
    return fail(engines_error(reader, entry.key, "options, voices and embedding need engine", {}));
  }
  const VoiceEngine* engine = find_voice_engine(voice.engine);
  if (engine == nullptr || (!model.kind.empty() && model.kind != engine->kind)) {
    const YamlNode* said = entry.value.find("engine");
    return fail(engines_error(reader, said == nullptr ? entry.key : *said,
                              in_quotes(voice.engine) + " is no engine of this kind", model.kind));
  }
  model.kind = std::string(engine->kind);
  if (!voice.embedding.empty()) {
    if (find_voice_key(*engine, "embedding") == nullptr) {
      return fail(reader.error(entry.key, voice.engine + " takes no embedding", "remove it"));
    }
    voice.options.emplace_back("embedding", voice.embedding);
  }
  if (options != nullptr) {
    const auto further = engine->keys.empty() ? engine->keys : engine->keys.subspan(1);
    if (auto read = read_options(reader, *options, voice.engine, further, &voice); !read) {
      return read;
    }
  }
  if (voices != nullptr) {
    if (auto read = read_voices(reader, *voices, &voice); !read) return read;
  }
  return check_whole(reader, entry, *engine, model);
}

}  // namespace gantry
