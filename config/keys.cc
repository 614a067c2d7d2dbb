// The tables of keys, and what each key does.
#include "config/keys.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"
#include "config/choice_keys.h"
#include "config/demand_keys.h"
#include "config/npu_worker_config.h"
#include "config/openvino_config.h"
#include "config/voice_config.h"
#include "model/voice_keys.h"
#include "stream/options.h"

namespace gantry {

namespace {

constexpr uint32_t kWaitMaxS = 24 * 3600;
constexpr uint32_t kKeepDaysMax = 36'500;
constexpr uint32_t kSpeakersAtMost = 64;  // as the worker has it

// Reads with one of the ConfigReader's typed getters into a field.
template <class Value, class Field>
Result<void> into(Result<Value> value, Field* field) {
  if (!value) return fail(value.error());
  *field = std::move(*value);
  return {};
}

using FileKey = ConfigKey<FileKeyState>;
using ModelKey = ConfigKey<ModelKeyState>;
using GroupKey = ConfigKey<GroupConfig>;

// Read in its turn, after the macros.
Result<void> nothing(ConfigReader&, const YamlNode&, FileKeyState*) { return {}; }

Result<void> read_listen(ConfigReader& reader, const YamlNode& node, FileKeyState* state) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  if (!is_listen_address(*word)) {
    return fail(reader.error(node, in_quotes(*word) + " is no HOST:PORT",
                             "for example 127.0.0.1:8484"));
  }
  state->config->listen = std::move(*word);
  return {};
}

// "auto", "off", one of the streamer's presets, or a number of layers.
Result<std::string> stream_word(ConfigReader& reader, const YamlNode& node) {
  auto word = reader.text(node);
  if (!word) return word;
  if (*word == "off" || preset_from_name(*word)) return word;
  if (reader.count(node, 0, kLayersMax)) return word;
  return fail(reader.error(node, in_quotes(*word) + " is no way to stream",
                           "auto, off, light, moderate, balanced, aggressive, extreme, or the "
                           "number of layers that stay"));
}

// Where OpenVINO is to run a speech model's encoder first.
Result<std::string> encoder_word(ConfigReader& reader, const YamlNode& node) {
  auto word = reader.text(node);
  if (!word || *word == "auto" || *word == "npu" || *word == "gpu" || *word == "cpu" ||
      *word == "none") {
    return word;
  }
  return fail(reader.error(node, in_quotes(*word) + " is no place for an encoder",
                           "auto, npu, gpu, cpu or none"));
}

// What finds the speech in a recording.
Result<std::string> vad_word(ConfigReader& reader, const YamlNode& node) {
  auto word = reader.text(node);
  if (!word || *word == "loudness" || *word == "silero") return word;
  return fail(reader.error(node, in_quotes(*word) + " does not find speech",
                           "loudness or silero"));
}

Result<Growth> growth_word(ConfigReader& reader, const YamlNode& node) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  if (*word == "warn") return Growth::kWarn;
  if (*word == "stop") return Growth::kStop;
  if (*word == "move") return Growth::kMove;
  return fail(reader.error(node, in_quotes(*word) + " is no answer to growth",
                           "warn, stop or move"));
}

// One figure for every device, or a map by device: "cpu" is host memory.
Result<void> read_reserve(ConfigReader& reader, const YamlNode& node, FileKeyState* state) {
  std::map<std::string, Budget> reserve;
  if (node.kind != YamlNode::Kind::kMap) {
    auto all = reader.budget(node);
    if (!all) return fail(all.error());
    reserve[""] = *all;
  } else {
    for (const YamlEntry& entry : node.entries) {
      auto one = reader.budget(entry.value);
      if (!one) return fail(one.error());
      reserve[entry.key.text] = *one;
    }
  }
  for (const auto& [device, kept] : reserve) {
    if (!kept.fraction || *kept.fraction < 1) continue;
    return fail(reader.error(node, "a reserve of all memory leaves none", "at most 99%"));
  }
  state->config->reserve = std::move(reserve);
  return {};
}

// A list of two or more words, or such a list as `never` with the size `below` which it counts.
Result<void> read_exclusive(ConfigReader& reader, const YamlNode& node, FileKeyState* state) {
  if (node.kind != YamlNode::Kind::kList) {
    return fail(reader.error(node, "exclusive is no list", "for example [[vision, language]]"));
  }
  std::vector<ExclusiveConfig> all;
  for (const YamlNode& item : node.items) {
    ExclusiveConfig one;
    const bool map = item.kind == YamlNode::Kind::kMap;
    const YamlNode* never = map ? item.find("never") : &item;
    for (const YamlEntry& entry : item.entries) {
      if (entry.key.text == "never" || entry.key.text == "below") continue;
      return fail(reader.error(entry.key, "unknown key " + in_quotes(entry.key.text),
                               "never and below"));
    }
    if (never == nullptr) return fail(reader.error(item, "who is never beside whom?", "never"));
    if (auto words = into(reader.texts(*never), &one.classes); !words) return words;
    if (one.classes.size() < 2) {
      return fail(reader.error(*never, "two words at least say who is never beside whom",
                               "kinds, purposes or names of models"));
    }
    if (const YamlNode* below = map ? item.find("below") : nullptr) {
      if (auto size = into(reader.bytes(*below), &one.below); !size) return size;
    }
    all.push_back(std::move(one));
  }
  state->config->exclusive = std::move(all);
  return {};
}

Result<void> refuse_key(ConfigReader& reader, const YamlNode& node, FileKeyState*) {
  return fail(reader.error(node, "a secret in the config file",
                           "put it in a file of mode 0600 and name that with api_key_file, or "
                           "set GANTRY_API_KEY"));
}

constexpr FileKey kFileKeys[] = {
    {"listen", Shape::kText, "HOST:PORT of the server", read_listen},
    {"state_dir", Shape::kText, "folder of the queue, results and logs",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.file(n), &s->config->state_dir);
     }},
    {"models_dir", Shape::kText, "folder with a catalogue.json of models",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.file(n), &s->config->models_dir);
     }},
    {"ram_budget", Shape::kBudget, "host memory for all workers together: bytes or per cent",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.budget(n), &s->config->ram_budget);
     }},
    {"vram_budget", Shape::kBudget, "memory per accelerator: bytes or per cent",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.budget(n), &s->config->vram_budget);
     }},
    {"api_key_file", Shape::kText, "file of mode 0600 that holds the API key",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.file(n), &s->api_key_file);
     }},
    {"api_key", Shape::kText, "refused: secrets do not belong in this file", refuse_key},
    {"allowed_hosts", Shape::kTexts, "further Host headers to answer to",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.texts(n), &s->config->allowed_hosts);
     }},
    {"allowed_origins", Shape::kTexts, "further web origins that may call",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.texts(n), &s->config->allowed_origins);
     }},
    {"stream", Shape::kStream, "what does not fit whole: auto, off, a preset, or layers that stay",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(stream_word(r, n), &s->config->stream);
     }},
    {"reserve", Shape::kReserve, "left to other programs: bytes or per cent, or a map by device",
     read_reserve},
    {"growth", Shape::kGrowth, "a worker that outgrows what it was given: warn, stop or move",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(growth_word(r, n), &s->config->growth);
     }},
    {"wait_s", Shape::kCount, "seconds to wait for memory that other programs hold",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, kWaitMaxS), &s->config->wait_s);
     }},
    {"hung_s", Shape::kCount, "seconds without processor time until a job's worker is ended",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, kWaitMaxS), &s->config->hung_s);
     }},
    {"keep_jobs", Shape::kCount, "ended jobs to keep with their results, the newest; 0: all",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, UINT32_MAX), &s->config->keep_jobs);
     }},
    {"keep_days", Shape::kCount, "days after which an ended job goes with its result; 0: never",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, kKeepDaysMax), &s->config->keep_days);
     }},
    {"exclusive", Shape::kExclusive, "kinds, purposes or names of models that never share a device",
     read_exclusive},
    {"cloud_allow", Shape::kTexts, "models that relays may answer for; absent: all that name one",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.texts(n), &s->config->cloud_allow);
     }},
    {"cloud_deny", Shape::kTexts, "models whose requests never leave this machine",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.texts(n), &s->config->cloud_deny);
     }},
    {"lease_dir", Shape::kText, "folder in which all users' daemons tell what they hold; or none",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.text(n), &s->config->lease_dir);
     }},
    {"prefer", Shape::kPrefer, "what plans make least of: time (speed) or joules (energy)",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(word_of(r, n, kPreferences), &s->config->prefer);
     }},
    {"compute_type", Shape::kText, "quantisation to use of models that have alternatives",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.text(n), &s->config->compute_type);
     }},
    {"idle_unload_s", Shape::kCount, "seconds without work before a model is unloaded; 0: never",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, UINT32_MAX), &s->config->idle_unload_s);
     }},
    {"globalTTL", Shape::kCount, "llama-swap's name of idle_unload_s",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, UINT32_MAX), &s->config->idle_unload_s);
     }},
    {"linger_s", Shape::kCount, "seconds that a shared daemon outlives its last client",
     [](ConfigReader& r, const YamlNode& n, FileKeyState* s) {
       return into(r.count(n, 0, UINT32_MAX), &s->config->linger_s);
     }},
    {"macros", Shape::kMacros, "texts that ${name} stands for in commands", nothing},
    {"models", Shape::kModels, "the models by name", nothing},
    {"groups", Shape::kGroups, "which models may run together", nothing},
    {"npu_worker", Shape::kNpuWorker, "the NPU worker, run as long as the daemon (docs/npu.md)",
     read_npu_worker},
    {"healthCheckTimeout", Shape::kAny, "llama-swap"},
    {"unloadTimeout", Shape::kAny, "llama-swap"},
    {"logLevel", Shape::kAny, "llama-swap"},
    {"logTimeFormat", Shape::kAny, "llama-swap"},
    {"logToStdout", Shape::kAny, "llama-swap"},
    {"metricsMaxInMemory", Shape::kAny, "llama-swap"},
    {"captureBuffer", Shape::kAny, "llama-swap"},
    {"store", Shape::kAny, "llama-swap"},
    {"ui", Shape::kAny, "llama-swap"},
    {"performance", Shape::kAny, "llama-swap"},
    {"startPort", Shape::kAny, "llama-swap; ports are chosen free"},
    {"sendLoadingState", Shape::kAny, "llama-swap"},
    {"includeAliasesInList", Shape::kAny, "llama-swap"},
    {"profiles", Shape::kAny, "llama-swap"},
    {"matrix", Shape::kAny, "llama-swap; the budget decides what runs together"},
    {"hooks", Shape::kAny, "llama-swap"},
    {"upstream", Shape::kAny, "llama-swap"},
    {"peers", Shape::kAny, "llama-swap"},
    {"apiKeys", Shape::kAny, "llama-swap; not read: use GANTRY_API_KEY or api_key_file"},
};

Result<void> read_kind(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  if (std::ranges::find(kModelKinds, *word) == std::end(kModelKinds)) {
    return fail(reader.error(node, "unknown kind " + in_quotes(*word),
                             "language, vision, speech, embedding, voice or diarization"));
  }
  state->model->kind = std::move(*word);
  return {};
}

Result<void> add_env(ConfigReader& reader, const YamlNode& at, const std::string& name,
                     std::string value, ModelKeyState* state) {
  if (name.empty() || name.find('=') != std::string::npos) {
    return fail(reader.error(at, "want NAME=VALUE"));
  }
  state->model->env.emplace_back(name, std::move(value));
  return {};
}

// llama-swap's list of NAME=VALUE, or a map.
Result<void> read_env(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  if (node.kind == YamlNode::Kind::kMap) {
    for (const YamlEntry& entry : node.entries) {
      auto value = reader.expand(entry.value, state->macros);
      if (!value) return fail(value.error());
      auto added = add_env(reader, entry.key, entry.key.text, std::move(*value), state);
      if (!added) return added;
    }
    return {};
  }
  if (auto list = reader.texts(node); !list) return fail(list.error());
  for (const YamlNode& item : node.items) {
    auto pair = reader.expand(item, state->macros);
    if (!pair) return fail(pair.error());
    const size_t cut = pair->find('=');
    if (cut == std::string::npos) return fail(reader.error(item, "want NAME=VALUE"));
    auto added = add_env(reader, item, pair->substr(0, cut), pair->substr(cut + 1), state);
    if (!added) return added;
  }
  return {};
}

// llama-swap: -1 means the global figure.
Result<void> read_ttl(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  if (node.kind == YamlNode::Kind::kScalar && node.text == "-1") return {};
  return into(reader.count(node, 0, UINT32_MAX), &state->model->ttl_s);
}

template <std::string ModelConfig::*kField>
Result<void> read_expanded(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  return into(reader.expand(node, state->macros), &(state->model->*kField));
}

template <std::string ModelConfig::*kField>
Result<void> read_path(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  YamlNode replaced = node;
  auto name = reader.expand(node, state->macros);
  if (!name) return fail(name.error());
  replaced.text = std::move(*name);
  return into(reader.file(replaced), &(state->model->*kField));
}

Result<void> read_lora(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  if (auto list = reader.texts(node); !list) return fail(list.error());
  if (node.items.size() > kLorasMax) {
    return fail(reader.error(node, "at most " + std::to_string(kLorasMax) + " adapters"));
  }
  for (const YamlNode& item : node.items) {
    auto file = reader.file(item);
    if (!file) return fail(file.error());
    state->model->lora.push_back(std::move(*file));
  }
  return {};
}

template <std::optional<CacheType> ModelConfig::*kField>
Result<void> read_cache(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  return into(reader.cache_type(node), &(state->model->*kField));
}

Result<void> nothing_more(ConfigReader&, const YamlNode&, ModelKeyState*) { return {}; }

Result<void> read_threshold(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  double value = -1;
  const auto [end, bad] = std::from_chars(word->data(), word->data() + word->size(), value);
  if (bad != std::errc() || end != word->data() + word->size() || !(value > 0 && value <= 2)) {
    return fail(reader.error(node, in_quotes(*word) + " is no threshold", "a number up to 2"));
  }
  state->model->voice.threshold = value;
  return {};
}

// One name, or a list of them.
Result<void> read_cloud(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  std::vector<std::string>& relays = state->model->cloud;
  if (node.kind != YamlNode::Kind::kScalar) return into(reader.texts(node), &relays);
  auto name = reader.text(node);
  if (!name) return fail(name.error());
  relays = {std::move(*name)};
  return {};
}

constexpr ModelKey kModelKeys[] = {
    {"kind", Shape::kModelKind, "what it does; told from the file when absent", read_kind},
    {"file", Shape::kText, "the model's file, relative to this file",
     read_path<&ModelConfig::file>},
    {"mmproj", Shape::kText, "the encoder of pictures or sound beside it",
     read_path<&ModelConfig::mmproj>},
    {"draft", Shape::kText, "a small model with the same vocabulary that guesses what this one "
                            "verifies", read_path<&ModelConfig::draft>},
    {"lora", Shape::kTexts, "adapters that are applied to it, relative to this file", read_lora},
    {"cmd", Shape::kText, "a command that serves the model over HTTP at ${PORT}",
     read_expanded<&ModelConfig::cmd>},
    {"proxy", Shape::kText, "where cmd answers; http://127.0.0.1:${PORT} when absent",
     read_expanded<&ModelConfig::proxy>},
    {"checkEndpoint", Shape::kText, "path that answers once cmd is ready",
     read_expanded<&ModelConfig::check_endpoint>},
    {"aliases", Shape::kTexts, "further names",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.texts(n), &s->model->aliases);
     }},
    {"env", Shape::kEnv, "environment of the worker: NAME=VALUE", read_env},
    {"ttl", Shape::kCount, "seconds without work before it is unloaded; 0: never", read_ttl},
    {"context", Shape::kCount, "tokens per sequence",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.count(n, 1, kConfigContextMax), &s->model->context);
     }},
    {"parallel", Shape::kCount, "sequences at once",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.count(n, 1, kConfigParallelMax), &s->model->parallel);
     }},
    {"cache_k", Shape::kCacheType, "type of the K cache", read_cache<&ModelConfig::cache_k>},
    {"cache_v", Shape::kCacheType, "type of the V cache", read_cache<&ModelConfig::cache_v>},
    {"memory", Shape::kBytes, "what an external command needs",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.bytes(n), &s->model->memory);
     }},
    {"stream", Shape::kStream, "when it does not fit: auto, off, a preset, or layers that stay",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(stream_word(r, n), &s->model->stream);
     }},
    {"encoder", Shape::kEncoder, "speech: OpenVINO's device for the encoder",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(encoder_word(r, n), &s->model->encoder);
     }},
    {"vad", Shape::kVad, "speech: what finds it in a recording",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(vad_word(r, n), &s->model->vad);
     }},
    {"growth", Shape::kGrowth, "when it outgrows what it was given: warn, stop or move",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(growth_word(r, n), &s->model->growth);
     }},
    {"whole_device", Shape::kFlag, "nobody else on the device that it runs on",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.flag(n), &s->model->whole_device);
     }},
    {"cloud", Shape::kNames, "relays that answer when it cannot be had here, in this order",
     read_cloud},
    {"cloud_after", Shape::kCount, "seconds in line until they do; 0: as long as it takes",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.count(n, 0, kWaitMaxS), &s->model->cloud_after_s);
     }},
    {"one_of", Shape::kTexts, "it is one of these models, the best first, by mode and load",
     read_one_of},
    {"mode", Shape::kMode, "what it makes most of: accuracy, balanced or speed", read_mode},
    {"keep_up", Shape::kNumber, "balanced: seconds of work for a second of sound, at most",
     read_keep_up},
    {"step_after", Shape::kCount, "seconds of pressure until a faster one is taken; 0: never",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.count(n, 0, kWaitMaxS), &s->model->step_after_s);
     }},
    {"purpose", Shape::kText, "what it is for, for a person",
     read_demand_text<&DemandConfig::purpose>},
    {"priority", Shape::kNumber, "seconds of a model with 2 weigh twice as much",
     read_weight<&DemandConfig::priority>},
    {"latency", Shape::kLatency, "a person waits, or a queue does", read_latency},
    {"share", Shape::kNumber, "how often it is used, compared with others",
     read_weight<&DemandConfig::share>},
    {"prompt_tokens", Shape::kCount, "of one use, for weighing",
     read_amount<&DemandConfig::prompt_tokens>},
    {"output_tokens", Shape::kCount, "of one use, for weighing",
     read_amount<&DemandConfig::output_tokens>},
    {"audio_s", Shape::kCount, "of one use, for weighing",
     read_amount<&DemandConfig::audio_s>},
    {"allow", Shape::kAllow,
     "what may shrink when it does not fit: types of the KV cache, context, encoder (to the CPU), "
     "batch; gpu-only: no layer on the CPU",
     read_allow},
    {"context_least", Shape::kCount, "tokens that must remain where the context may shrink",
     read_amount<&DemandConfig::context_least>},
    {"shortage", Shape::kShortage, "what to do when memory is short, in this order", read_shortage},
    {"alternatives", Shape::kTexts, "files to take in its place, the best first",
     read_alternatives},
    {"device", Shape::kText, "the only device that it may compute on",
     read_demand_text<&DemandConfig::device>},
    {"cap", Shape::kBudget, "most it may take of an accelerator: bytes, per cent or a fraction",
     read_cap},
    {"compute_type", Shape::kText, "the quantisation to use, of file and alternatives",
     read_demand_text<&DemandConfig::compute_type>},
    {"engine", Shape::kVoiceEngine, "what speaks, hears, tells speakers apart or embeds",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.text(n), &s->model->voice.engine);
     }},
    {"options", Shape::kMacros, "files and figures of that engine, by its own names",
     nothing_more},
    {"voices", Shape::kMacros, "names, and what the engine calls these voices", nothing_more},
    {"embedding", Shape::kText, "the file that tells voices apart (diarization)",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.file(n), &s->model->voice.embedding);
     }},
    {"speakers", Shape::kCount, "how many speakers there are (diarization); 0: not known",
     [](ConfigReader& r, const YamlNode& n, ModelKeyState* s) {
       return into(r.count(n, 0, kSpeakersAtMost), &s->model->voice.speakers);
     }},
    {"threshold", Shape::kNumber, "distance between two speakers (diarization), at most 2; "
                                   "probability that makes speech (vad)",
     read_threshold},
    {"macros", Shape::kMacros, "macros of this model alone", nothing_more},
    {"cmdStop", Shape::kAny, "llama-swap"},
    {"name", Shape::kAny, "llama-swap"},
    {"description", Shape::kAny, "llama-swap"},
    {"unlisted", Shape::kAny, "llama-swap"},
    {"useModelName", Shape::kAny, "llama-swap"},
    {"filters", Shape::kAny, "llama-swap"},
    {"metadata", Shape::kAny, "llama-swap"},
    {"concurrencyLimit", Shape::kAny, "llama-swap"},
    {"sendLoadingState", Shape::kAny, "llama-swap"},
    {"unloadTimeout", Shape::kAny, "llama-swap"},
    {"timeouts", Shape::kAny, "llama-swap"},
    {"capabilities", Shape::kAny, "llama-swap"},
};

constexpr GroupKey kGroupKeys[] = {
    {"swap", Shape::kFlag, "only one member runs at a time",
     [](ConfigReader& r, const YamlNode& n, GroupConfig* g) {
       return into(r.flag(n), &g->swap);
     }},
    {"exclusive", Shape::kFlag, "running a member unloads the other groups",
     [](ConfigReader& r, const YamlNode& n, GroupConfig* g) {
       return into(r.flag(n), &g->exclusive);
     }},
    {"persistent", Shape::kFlag, "other groups do not unload its members",
     [](ConfigReader& r, const YamlNode& n, GroupConfig* g) {
       return into(r.flag(n), &g->persistent);
     }},
    {"members", Shape::kTexts, "names of models",
     [](ConfigReader& r, const YamlNode& n, GroupConfig* g) {
       return into(r.texts(n), &g->members);
     }},
};

Result<void> check_name(ConfigReader& reader, const YamlNode& at, const std::string& name,
                        const std::string& owner, FileKeyState* state) {
  const bool printable =
      std::ranges::all_of(name, [](unsigned char c) { return c > 0x20 && c != 0x7F; });
  if (name.empty() || name.size() > 128 || !printable) {
    return fail(reader.error(at, "a model's name has 1 to 128 characters without blanks"));
  }
  const auto [found, fresh] = state->names.emplace(name, owner);
  if (!fresh) {
    return fail(reader.error(
        at, in_quotes(name) + " already names model " + in_quotes(found->second),
        "names and aliases must be unique"));
  }
  return {};
}

Result<ModelConfig> read_model(ConfigReader& reader, const YamlEntry& entry, const Macros& macros) {
  ModelConfig model;
  model.name = entry.key.text;
  ModelKeyState state{&model, macros};
  state.macros["MODEL_ID"] = model.name;
  if (const YamlNode* own = entry.value.find("macros")) {
    if (auto done = reader.read_macros(*own, &state.macros); !done) return fail(done.error());
  }
  if (auto done = read_keys(reader, entry.value, model_keys(), &state); !done) {
    return fail(done.error());
  }
  auto choice = check_choice(reader, entry, &model);
  if (!choice) return fail(choice.error());
  if (*choice) return model;
  const bool openvino = model.voice.engine == kOpenvinoEngine;
  auto done = openvino ? read_openvino(reader, entry, &state) : read_voice(reader, entry, &state);
  if (!done) return fail(done.error());
  if (!model.vad.empty() && !model.kind.empty() && model.kind != "speech") {
    return fail(reader.error(entry.key, "a model of kind " + model.kind + " finds no speech",
                             "remove vad"));
  }
  const bool no_file = model.voice.engine == kEspeakEngine;
  if (no_file ? !model.cmd.empty() : model.file.empty() == model.cmd.empty()) {
    return fail(reader.error(entry.key,
                             "model " + in_quotes(model.name) + " needs either file or cmd",
                             model.file.empty() ? "add file: PATH" : "remove one of the two"));
  }
  for (const auto& [name, there] : {std::pair{"mmproj", !model.mmproj.empty()},
                                    {"draft", !model.draft.empty()},
                                    {"lora", !model.lora.empty()}}) {
    if (there && model.file.empty()) {
      return fail(reader.error(entry.key, std::string(name) + " without file"));
    }
  }
  return model;
}

}  // namespace

std::span<const ConfigKey<FileKeyState>> file_keys() { return kFileKeys; }
std::span<const ConfigKey<ModelKeyState>> model_keys() { return kModelKeys; }
std::span<const ConfigKey<GroupConfig>> group_keys() { return kGroupKeys; }

Result<void> read_models(ConfigReader& reader, const YamlNode& map, FileKeyState* state) {
  if (auto sound = reader.want_map(map); !sound) return sound;
  std::vector<ModelConfig>& models = state->config->models;
  for (const YamlEntry& entry : map.entries) {
    if (auto fine = check_name(reader, entry.key, entry.key.text, entry.key.text, state); !fine) {
      return fine;
    }
  }
  for (const YamlEntry& entry : map.entries) {
    auto model = read_model(reader, entry, state->macros);
    if (!model) return fail(model.error());
    const YamlNode* aliases = entry.value.find("aliases");
    for (size_t i = 0; i < model->aliases.size(); ++i) {
      auto fine = check_name(reader, aliases->items[i], model->aliases[i], model->name, state);
      if (!fine) return fine;
    }
    note_members(reader, entry, *model, &state->members);
    const auto old = std::ranges::find(models, model->name, &ModelConfig::name);
    if (old != models.end()) {
      *old = std::move(*model);
    } else {
      models.push_back(std::move(*model));
    }
  }
  if (auto sound = check_own_members(reader, map, *state); !sound) return sound;
  if (models.size() > kModelsMax) {
    return fail(Code::kTooLarge, place(reader.path(), map) + ": more than " +
                                     std::to_string(kModelsMax) + " models");
  }
  return {};
}

Result<void> read_groups(ConfigReader& reader, const YamlNode& map, FileKeyState* state) {
  if (auto sound = reader.want_map(map); !sound) return sound;
  std::map<std::string, std::string> owner;
  for (const YamlEntry& entry : map.entries) {
    GroupConfig group;
    group.name = entry.key.text;
    if (auto done = read_keys(reader, entry.value, group_keys(), &group); !done) return done;
    const YamlNode* members = entry.value.find("members");
    for (size_t i = 0; i < group.members.size(); ++i) {
      const auto [found, fresh] = owner.emplace(group.members[i], group.name);
      if (!fresh) {
        return fail(reader.error(members->items[i], in_quotes(group.members[i]) +
                                                        " is already in group " +
                                                        in_quotes(found->second)));
      }
      if (!state->names.contains(group.members[i])) {
        reader.warn(members->items[i], in_quotes(group.members[i]) + " is no model of this file");
      }
    }
    auto& groups = state->config->groups;
    std::erase_if(groups, [&](const GroupConfig& old) { return old.name == group.name; });
    groups.push_back(std::move(group));
  }
  return {};
}

Result<void> read_file_keys(ConfigReader& reader, const std::string& text, FileKeyState* state) {
  const auto tree = read_yaml(text, reader.path());
  if (!tree) return fail(tree.error());
  if (auto done = read_keys(reader, *tree, file_keys(), state); !done) return done;
  if (const YamlNode* node = tree->find("macros")) {
    if (auto done = reader.read_macros(*node, &state->macros); !done) return done;
  }
  if (const YamlNode* node = tree->find("models")) {
    if (auto done = read_models(reader, *node, state); !done) return done;
  }
  if (const YamlNode* node = tree->find("groups")) return read_groups(reader, *node, state);
  return {};
}

bool is_listen_address(std::string_view text) {
  const size_t cut = text.rfind(':');
  if (cut == std::string_view::npos || cut == 0) return false;
  const std::string_view host = text.substr(0, cut);
  const std::string_view port = text.substr(cut + 1);
  uint16_t number = 0;
  const auto [stop, failed] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (failed != std::errc() || stop != port.data() + port.size() || port.empty()) return false;
  const bool bracketed = host.front() == '[' && host.back() == ']';
  return std::ranges::all_of(host, [&](unsigned char c) {
    if (bracketed && (c == ':' || c == '[' || c == ']')) return true;
    return std::isalnum(c) != 0 || c == '.' || c == '-';
  });
}

}  // namespace gantry
