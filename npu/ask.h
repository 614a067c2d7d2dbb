// What the NPU worker's requests must have, and what they mean.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "npu/language.h"
#include "serve/reply.h"

namespace gantry {

struct EmbedAsk {
  std::vector<std::string> texts;
  std::string model;    // empty: the first one
  bool base64 = false;  // floats as bytes, which OpenAI's clients ask for
};

struct InferAsk {
  Question question;
  std::string model;
  bool stream = false;
};

// An Error's message names the field. `field`: "texts" or, in OpenAI's shape, "input".
[[nodiscard]] Result<EmbedAsk> read_embed_ask(const nlohmann::json& body, const char* field);
[[nodiscard]] Result<InferAsk> read_infer_ask(const nlohmann::json& body);

std::string base64_floats(const std::vector<float>& values);  // little-endian

}  // namespace gantry
