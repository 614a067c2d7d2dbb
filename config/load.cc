// The layers of configuration: defaults < system files < the user's file < environment < flags.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/limits.h"
#include "config/choice_keys.h"
#include "config/demand_keys.h"
#include "config/keys.h"
#include "config/npu_worker_config.h"
#include "config/openvino_config.h"
#include "model/voice_keys.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr Bytes kKeyFileMax = KiB(4);
// Where CAM++ hears two people: of four real voices, stretches of three seconds of one were 0.17 to
// 0.60 apart, and of two 0.81 at least (docs/voices.md).
constexpr double kSpeakersThreshold = 0.7;

std::string env_or(Os& os, const std::string& name, const std::string& otherwise) {
  const auto value = os.env(name);
  return value && !value->empty() ? *value : otherwise;
}

// One value from the environment or a flag, by the file's key. `where` names it in errors.
Result<void> set_value(const std::string& where, const std::string& key, const std::string& text,
                       FileKeyState* state) {
  static const std::set<std::string> lists = {"allowed_hosts", "allowed_origins"};
  static const std::set<std::string> whole = {"models", "groups", "macros", "npu_worker"};
  const auto keys = file_keys();
  const auto found = std::ranges::find(keys, key, &ConfigKey<FileKeyState>::name);
  if (found == keys.end() || found->read == nullptr || whole.contains(key)) {
    return fail(Code::kUsage, where + ": no such setting \"" + key + "\"");
  }
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.plain = true;
  node.text = text;
  if (lists.contains(key)) {
    node.kind = YamlNode::Kind::kList;
    size_t at = 0;
    while (at <= text.size()) {
      const size_t comma = std::min(text.find(',', at), text.size());
      YamlNode item;
      item.kind = YamlNode::Kind::kScalar;
      item.text = text.substr(at, comma - at);
      if (!item.text.empty()) node.items.push_back(std::move(item));
      at = comma + 1;
    }
  }
  ConfigReader reader(where, nullptr);
  if (auto done = found->read(reader, node, state); !done) {
    Error error = done.error();
    error.code = Code::kUsage;
    return fail(std::move(error));
  }
  return {};
}

Result<void> read_layer(Os& os, const std::string& path, bool required, FileKeyState* state) {
  auto text = os.read_file(path, kConfigMax);
  if (!text) {
    const bool absent = text.error().code == Code::kNotFound;
    return absent && !required ? Result<void>{} : fail(text.error());
  }
  ConfigReader reader(path, nullptr);
  state->names.clear();   // a later file may take a name over
  state->macros.clear();  // macros end with their file
  return read_file_keys(reader, *text, state);
}

// A folder of the shipped models beside or above the program, empty when there is none.
Result<std::string> find_models_dir(Os& os) {
  const std::string prefix = dir_name(dir_name(os.self_exe()));
  for (const std::string& dir : {join_path(dir_name(prefix), "models"),
                                 join_path(prefix, "share/gantry/models")}) {
    if (os.stat(join_path(dir, "catalogue.json"))) return dir;
  }
  return std::string();
}

std::string text_of(const json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<ModelConfig> catalogue_model(const json& row, const std::string& dir,
                                    const std::string& path) {
  ModelConfig model;
  if (!row.is_object()) return fail(Code::kCorrupt, path + ": a row is no object");
  model.name = text_of(row, "name");
  model.kind = text_of(row, "kind");
  const std::string file = text_of(row, "file");
  const std::string mmproj = text_of(row, "mmproj");
  if (model.name.empty() || file.empty()) {
    return fail(Code::kCorrupt, path + ": a row without name or file");
  }
  model.file = join_path(dir, file);
  if (!mmproj.empty()) model.mmproj = join_path(dir, mmproj);
  for (const auto& [key, most, target] :
       {std::tuple{"context", kConfigContextMax, &model.context},
        std::tuple{"parallel", kConfigParallelMax, &model.parallel}}) {
    const auto count = row.find(key);
    if (count == row.end()) continue;
    if (!count->is_number_unsigned() || count->get<uint64_t>() > most ||
        count->get<uint64_t>() == 0) {
      return fail(Code::kCorrupt, path + ": " + key + " of " + model.name + " is out of range");
    }
    *target = count->get<uint32_t>();
  }
  return model;
}

// The shipped models come first; those of the same name as a declared one give way.
Result<void> add_catalogue(Os& os, Config* config) {
  if (config->models_dir.empty()) return {};
  const std::string path = join_path(config->models_dir, "catalogue.json");
  const auto text = os.read_file(path, kConfigMax);
  if (!text) {
    return text.error().code == Code::kNotFound ? Result<void>{} : fail(text.error());
  }
  const json rows = json::parse(*text, nullptr, false);
  if (!rows.is_array()) return fail(Code::kCorrupt, path + ": not a JSON list of models");
  std::set<std::string> taken;
  for (const ModelConfig& model : config->models) {
    taken.insert(model.name);
    taken.insert(model.aliases.begin(), model.aliases.end());
  }
  std::vector<ModelConfig> shipped;
  for (const json& row : rows) {
    auto model = catalogue_model(row, config->models_dir, path);
    if (!model) return fail(model.error());
    if (taken.insert(model->name).second) shipped.push_back(std::move(*model));
  }
  config->models.insert(config->models.begin(), std::make_move_iterator(shipped.begin()),
                        std::make_move_iterator(shipped.end()));
  if (config->models.size() > kModelsMax) {
    return fail(Code::kTooLarge, "more than " + std::to_string(kModelsMax) + " models");
  }
  return {};
}

bool has_name(const Config& config, std::string_view name) {
  return std::ranges::any_of(config.models, [&](const ModelConfig& model) {
    return model.name == name ||
           std::ranges::find(model.aliases, name) != model.aliases.end();
  });
}

// A bare machine speaks: the voice without a model, where it is installed.
void add_espeak(Os& os, Config* config) {
  constexpr const char* kName = "espeak";
  if (has_name(*config, kName)) return;
  std::string rest = env_or(os, "PATH", "/usr/local/bin:/usr/bin:/bin");
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (os.stat(join_path(rest.substr(0, end), kEspeakEngine))) {
      ModelConfig model;
      model.name = kName;
      model.kind = "voice";
      model.voice.engine = kEspeakEngine;
      config->models.push_back(std::move(model));
      return;
    }
    rest.erase(0, std::min(end + 1, rest.size()));
  }
}

// A bare machine tells speakers apart, where the files lie beside the program.
void add_speakers(Os& os, Config* config) {
  if (has_name(*config, kSpeakersModel)) return;
  const std::string dir = dir_name(os.self_exe());
  ModelConfig model;
  model.name = kSpeakersModel;
  model.kind = "diarization";
  model.file = join_path(dir, "pyannote_segmentation.onnx");
  model.voice.engine = kDiarizationEngine;
  model.voice.options = {{"embedding", join_path(dir, "campplus.onnx")}};
  model.voice.threshold = kSpeakersThreshold;
  if (!os.stat(model.file) || !os.stat(model.voice.options[0].second)) return;
  config->models.push_back(std::move(model));
}

// Where a model asks for it: the detector that lies beside the program.
void add_silero(Os& os, Config* config) {
  const auto asks = [](const ModelConfig& model) { return model.vad == "silero"; };
  const auto there = [](const ModelConfig& model) { return model.name == kSileroModel; };
  if (std::ranges::none_of(config->models, asks) || std::ranges::any_of(config->models, there)) {
    return;
  }
  ModelConfig model;
  model.name = kSileroModel;
  model.kind = "vad";
  model.file = join_path(dir_name(os.self_exe()), "silero_vad.onnx");
  model.voice.engine = kSileroEngine;
  config->models.push_back(std::move(model));
}

// The recogniser of English that the set-up fetches, where it lies beside the program.
void add_moonshine(Os& os, Config* config) {
  const std::string dir = join_path(dir_name(os.self_exe()), kMoonshineModel);
  ModelConfig model;
  model.name = kMoonshineModel;
  model.kind = "speech";
  model.file = join_path(dir, "encoder_model.ort");
  model.voice.engine = kMoonshineEngine;
  model.voice.options = {{"merged_decoder", join_path(dir, "decoder_model_merged.ort")},
                         {"tokens", join_path(dir, "tokens.txt")}};
  if (!has_name(*config, model.name) && os.stat(model.file)) {
    config->models.push_back(std::move(model));
  }
}

Result<void> read_api_key(Os& os, const std::string& path, Config* config) {
  if (const auto key = os.env("GANTRY_API_KEY"); key && !key->empty()) {
    config->api_key = *key;
    return {};
  }
  if (path.empty()) return {};
  const auto info = os.stat(path);
  if (!info) return fail(info.error());
  if ((info->mode & 077U) != 0) {
    return fail(Code::kPermission, "api_key_file " + path + " is open to other users",
                "chmod 600 " + path);
  }
  const auto text = os.read_file(path, kKeyFileMax);
  if (!text) return fail(text.error());
  const size_t end = text->find_first_of("\r\n");
  config->api_key = text->substr(0, end);
  const bool printable = std::ranges::all_of(
      config->api_key, [](unsigned char c) { return c > 0x20 && c < 0x7F; });
  if (config->api_key.empty() || !printable) {
    config->api_key.clear();
    return fail(Code::kCorrupt, "api_key_file " + path + " holds no key",
                "its first line must be the key, without blanks");
  }
  return {};
}

std::string with_home(Os& os, std::string path) {
  if (path.starts_with("~/")) return join_path(env_or(os, "HOME", "/"), path.substr(2));
  return path;
}

// ${env.NAME} in commands and their environment.
Result<void> fill_environment(Os& os, const std::string& model, std::string* text) {
  size_t at = 0;
  while ((at = text->find("${env.", at)) != std::string::npos) {
    const size_t end = text->find('}', at);
    if (end == std::string::npos) break;
    const std::string name = text->substr(at + 6, end - at - 6);
    const auto value = os.env(name);
    if (!value) {
      return fail(Code::kUsage, "model " + model + " uses ${env." + name + "}, which is not set",
                  "set " + name);
    }
    text->replace(at, end + 1 - at, *value);
    at += value->size();
  }
  return {};
}

// Whoever is to answer elsewhere is a relay, and one of these.
Result<void> check_cloud(const Config& config) {
  for (const ModelConfig& model : config.models) {
    if (!model.cloud.empty() && is_relay(model)) {
      return fail(Code::kUsage, "model " + model.name + " is a relay and names others in cloud",
                  "name all of them in the model that is here");
    }
    const bool sound = model.kind == "speech" || model.kind == "voice" ||
                       model.kind == "diarization";
    if (!model.cloud.empty() && sound) {
      return fail(Code::kUsage, "model " + model.name + " is a " + model.kind + " model with cloud",
                  "relays take text and pictures: remove cloud");
    }
    if (!model.cloud.empty() && !cloud_is_last(model.demand.shortage)) {
      return fail(Code::kUsage, "shortage of model " + model.name + " goes on after cloud",
                  "it is the last way out");
    }
    for (const std::string& name : model.cloud) {
      const auto relay = std::ranges::find(config.models, name, &ModelConfig::name);
      if (relay != config.models.end() && is_relay(*relay)) continue;
      return fail(Code::kUsage,
                  "cloud of model " + model.name + " names \"" + name + "\", which is no relay",
                  "declare it under models with cmd: gantry-relay ... (docs/cli.md)");
    }
  }
  std::vector<std::string> listed = config.cloud_deny;
  if (config.cloud_allow) {
    listed.insert(listed.end(), config.cloud_allow->begin(), config.cloud_allow->end());
  }
  for (const std::string& name : listed) {
    if (std::ranges::find(config.models, name, &ModelConfig::name) != config.models.end()) continue;
    return fail(Code::kUsage, "cloud_allow or cloud_deny name \"" + name + "\", which is no model",
                "name models, not aliases");
  }
  return {};
}

Result<void> finish_models(Os& os, Config* config) {
  std::map<std::string, std::string> owner;
  for (ModelConfig& model : config->models) {
    model.file = with_home(os, model.file);
    model.mmproj = with_home(os, model.mmproj);
    model.draft = with_home(os, model.draft);
    for (auto& [key, value] : model.voice.options) value = with_home(os, value);
    finish_openvino(os, &model);
    for (std::string& file : model.lora) file = with_home(os, file);
    for (std::string& file : model.demand.alternatives) file = with_home(os, file);
    for (std::string* text : {&model.cmd, &model.proxy}) {
      if (auto done = fill_environment(os, model.name, text); !done) return done;
    }
    for (auto& [name, value] : model.env) {
      if (auto done = fill_environment(os, model.name, &value); !done) return done;
    }
    owner.emplace(model.name, model.name);
  }
  for (const ModelConfig& model : config->models) {
    for (const std::string& alias : model.aliases) {
      const auto [found, fresh] = owner.emplace(alias, model.name);
      if (!fresh && found->second != model.name) {
        return fail(Code::kUsage,
                    "alias \"" + alias + "\" of " + model.name + " also names " + found->second,
                    "rename one of them");
      }
    }
  }
  return {};
}

Result<void> read_files(Os& os, const std::string& file, FileKeyState* state) {
  for (const char* path : {"/usr/share/gantry/config.yaml", "/etc/gantry/config.yaml"}) {
    if (auto done = read_layer(os, path, false, state); !done) return done;
  }
  if (!file.empty()) return read_layer(os, file, true, state);
  const std::string home = env_or(os, "HOME", "");
  const std::string dir =
      env_or(os, "XDG_CONFIG_HOME", home.empty() ? "" : join_path(home, ".config"));
  if (dir.empty()) return {};
  return read_layer(os, join_path(dir, "gantry/config.yaml"), false, state);
}

Result<void> read_environment(Os& os, FileKeyState* state) {
  for (const char* key : {"listen", "state_dir", "models_dir", "ram_budget", "vram_budget",
                          "api_key_file", "allowed_hosts", "allowed_origins", "idle_unload_s",
                          "linger_s", "prefer", "compute_type", "lease_dir"}) {
    std::string name = "GANTRY_";
    for (const char* c = key; *c != '\0'; ++c) {
      name += *c == '_' ? '_' : static_cast<char>(*c - 'a' + 'A');
    }
    const std::string value = env_or(os, name, "");
    if (value.empty()) continue;
    if (auto done = set_value(name, key, value, state); !done) return done;
  }
  return {};
}

}  // namespace

Result<Config> load_config(Os& os, const std::string& file,
                           const std::map<std::string, std::string>& flags) {
  Config config;
  FileKeyState state;
  state.config = &config;
  const std::string home = env_or(os, "HOME", "");
  const std::string state_home =
      env_or(os, "XDG_STATE_HOME", home.empty() ? "" : join_path(home, ".local/state"));
  config.state_dir = state_home.empty() ? "/var/lib/gantry" : join_path(state_home, "gantry");
  if (auto done = read_files(os, file, &state); !done) return fail(done.error());
  if (auto done = read_environment(os, &state); !done) return fail(done.error());
  for (const auto& [key, value] : flags) {
    std::string flag = "--" + key;
    std::ranges::replace(flag, '_', '-');
    if (auto done = set_value(flag, key, value, &state); !done) return fail(done.error());
  }
  if (config.models_dir.empty()) {
    auto found = find_models_dir(os);
    if (!found) return fail(found.error());
    config.models_dir = std::move(*found);
  }
  config.state_dir = with_home(os, config.state_dir);
  config.models_dir = with_home(os, config.models_dir);
  if (auto done = add_catalogue(os, &config); !done) return fail(done.error());
  add_espeak(os, &config);
  add_moonshine(os, &config);
  add_speakers(os, &config);
  add_silero(os, &config);
  if (auto done = finish_models(os, &config); !done) return fail(done.error());
  if (auto done = check_cloud(config); !done) return fail(done.error());
  if (auto done = check_members(config, state.members); !done) return fail(done.error());
  if (state.npu_worker) {
    auto done = finish_npu_worker(os, file, *state.npu_worker, &config);
    if (!done) return fail(done.error());
  }
  auto key = read_api_key(os, with_home(os, state.api_key_file), &config);
  if (!key) return fail(key.error());
  return config;
}

}  // namespace gantry
