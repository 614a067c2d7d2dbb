// Tests that the schema and the parser know the same keys.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/keys.h"

namespace gantry {
namespace {

using nlohmann::json;

// A value that fits the schema's description of a key, as YAML.
std::string sample(const std::string& key, const json& shape) {
  if (key == "reserve") return "{cpu: 1GiB, gpu0: 10%}";
  if (key == "exclusive" && shape["type"] == "array") {
    return "[[vision, language], {never: [a, b], below: 8GiB}]";
  }
  if (key == "listen") return "127.0.0.1:1";
  if (key == "proxy") return "http://127.0.0.1:1";
  if (shape.contains("enum")) return shape["enum"][0];
  if (shape.contains("anyOf")) return shape["anyOf"][0]["enum"].back();
  if (shape.contains("oneOf")) return "[A=b]";
  if (!shape.contains("type")) return "{anything: [1]}";
  if (shape["type"].is_array()) return "1GiB";
  const std::string type = shape["type"];
  if (type == "boolean") return "true";
  if (type == "integer" || type == "number") return "1";
  if (type == "array" && shape["items"].contains("enum")) {
    return "[" + shape["items"]["enum"][0].get<std::string>() + "]";
  }
  if (type == "array") return "[a, b]";
  if (type == "object") return "{}";
  return "text";
}

TEST(Schema, EveryKeyOfTheSchemaIsAccepted) {
  const json schema = json::parse(config_schema(), nullptr, false);
  ASSERT_TRUE(schema.is_object());
  EXPECT_EQ(schema["additionalProperties"], false);
  for (const auto& [key, shape] : schema["properties"].items()) {
    const std::string text = key + ": " + sample(key, shape) + "\n";
    const auto config = parse_config(text, "f");
    EXPECT_TRUE(config) << text << config.error().message;
  }
  const json& model = schema["properties"]["models"]["additionalProperties"];
  for (const auto& [key, shape] : model["properties"].items()) {
    const bool of_voice = key == "options" || key == "voices";
    const bool choice = key == "mode" || key == "keep_up" || key == "step_after";
    const bool alone = key == "file" || key == "cmd" || key == "engine" || key == "one_of";
    const std::string voice = key == "embedding" ? "engine: pyannote, "
                              : of_voice ? "engine: pyannote, embedding: y, "
                                         : "";
    const std::string need = alone ? "" : choice ? "one_of: [a, b], " : "file: x, " + voice;
    const std::string text = "models: {m: {" + need + key + ": " + sample(key, shape) + "}}\n";
    const auto config = parse_config(text, "f");
    EXPECT_TRUE(config) << text << config.error().message;
  }
  const json& group = schema["properties"]["groups"]["additionalProperties"];
  for (const auto& [key, shape] : group["properties"].items()) {
    EXPECT_TRUE(parse_config("groups: {g: {" + key + ": " + sample(key, shape) + "}}\n", "f"));
  }
}

TEST(Schema, EveryKeyOfTheParserIsPublished) {
  const json schema = json::parse(config_schema(), nullptr, false);
  for (const auto& key : file_keys()) {
    EXPECT_EQ(schema["properties"].contains(key.name), key.name != "api_key") << key.name;
  }
  const json& model = schema["properties"]["models"]["additionalProperties"];
  for (const auto& key : model_keys()) {
    EXPECT_TRUE(model["properties"].contains(key.name)) << key.name;
  }
  const json& group = schema["properties"]["groups"]["additionalProperties"];
  for (const auto& key : group_keys()) {
    EXPECT_TRUE(group["properties"].contains(key.name)) << key.name;
  }
}

}  // namespace
}  // namespace gantry
