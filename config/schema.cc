// The published JSON schema, made from the tables that the parser reads.
#include <nlohmann/json.hpp>

#include "config/choice_keys.h"
#include "config/demand_keys.h"
#include "config/keys.h"
#include "config/npu_worker_config.h"
#include "config/openvino_config.h"
#include "model/voice_keys.h"

namespace gantry {

namespace {

using nlohmann::json;

template <class State>
json object_of(std::span<const ConfigKey<State>> keys);

json count() { return {{"type", "integer"}, {"minimum", -1}}; }

json shape_json(Shape shape) {
  const json text = {{"type", "string"}};
  const json texts = {{"type", "array"}, {"items", text}};
  const json scalars = {{"type", {"string", "number", "boolean"}}};
  switch (shape) {
    case Shape::kText: return text;
    case Shape::kTexts: return texts;
    case Shape::kNames: return {{"oneOf", {text, texts}}};
    case Shape::kFlag: return {{"type", "boolean"}};
    case Shape::kCount: return count();
    case Shape::kBytes: return {{"type", {"string", "integer"}}};
    case Shape::kBudget: return {{"type", {"string", "integer"}}};
    case Shape::kCacheType: {
      json words = json::array();
      for (int i = 0; i <= static_cast<int>(CacheType::kQ4_0); ++i) {
        words.push_back(std::string(cache_type_name(static_cast<CacheType>(i))));
      }
      return {{"enum", words}};
    }
    case Shape::kModelKind: return {{"enum", kModelKinds}};
    case Shape::kVoiceEngine: {
      json names = json::array();
      for (const VoiceEngine& engine : voice_engines()) names.push_back(std::string(engine.name));
      names.push_back(std::string(kOpenvinoEngine));
      return {{"enum", names}};
    }
    case Shape::kVad: return {{"enum", {"loudness", "silero"}}};
    case Shape::kEncoder: return {{"enum", {"auto", "npu", "gpu", "cpu", "none"}}};
    case Shape::kStream:
      return {{"anyOf",
               {{{"enum", {"auto", "off", "light", "moderate", "balanced", "aggressive", "extreme",
                           "whole", "workstation", "high_end", "consumer", "budget", "minimal"}}},
                {{"type", "integer"}, {"minimum", 0}}}}};
    case Shape::kGrowth: return {{"enum", {"warn", "stop", "move"}}};
    case Shape::kReserve: {
      const json budget = shape_json(Shape::kBudget);
      return {{"oneOf", {budget, {{"type", "object"}, {"additionalProperties", budget}}}}};
    }
    case Shape::kEnv:
      return {{"oneOf", {texts, {{"type", "object"}, {"additionalProperties", scalars}}}}};
    case Shape::kMacros: return {{"type", "object"}, {"additionalProperties", scalars}};
    case Shape::kModels:
      return {{"type", "object"}, {"additionalProperties", object_of(model_keys())}};
    case Shape::kGroups:
      return {{"type", "object"}, {"additionalProperties", object_of(group_keys())}};
    case Shape::kNumber: return {{"type", "number"}, {"exclusiveMinimum", 0}};
    case Shape::kLatency: return {{"enum", kLatencies}};
    case Shape::kAllow: return {{"type", "array"}, {"items", {{"enum", allowed_words()}}}};
    case Shape::kShortage: return {{"type", "array"}, {"items", {{"enum", kShortages}}}};
    case Shape::kPrefer: return {{"enum", kPreferences}};
    case Shape::kExclusive: {
      const json map = {{"type", "object"},
                        {"properties", {{"never", texts}, {"below", shape_json(Shape::kBytes)}}},
                        {"required", {"never"}},
                        {"additionalProperties", false}};
      return {{"type", "array"}, {"items", {{"oneOf", {texts, map}}}}};
    }
    case Shape::kMode: return {{"enum", kModes}};
    case Shape::kNpuWorker: return object_of(npu_worker_keys());
    case Shape::kAny: return json::object();
  }
  return json::object();
}

template <class State>
json object_of(std::span<const ConfigKey<State>> keys) {
  json properties = json::object();
  for (const ConfigKey<State>& key : keys) {
    if (key.name == "api_key") continue;  // known only to be refused with a remedy
    json one = shape_json(key.shape);
    one["description"] = std::string(key.about) + (key.read == nullptr ? " (no effect)" : "");
    properties[std::string(key.name)] = std::move(one);
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

}  // namespace

std::string config_schema() {
  json schema = object_of(file_keys());
  schema["$schema"] = "http://json-schema.org/draft-07/schema#";
  schema["title"] = "gantry configuration";
  return schema.dump(2) + "\n";
}

}  // namespace gantry
