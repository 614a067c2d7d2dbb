// What the NPU worker's requests must have, and what they mean.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "http/http.h"
#include "npu/language.h"
#include "npu/limits.h"
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

struct ImageAsk {
  std::vector<std::string> images;  // files' bytes
  std::string model;
  uint32_t top = kImageTop;  // classes of each
};

// An Error's message names the field. `field`: "texts" or, in OpenAI's shape, "input".
[[nodiscard]] Result<EmbedAsk> read_embed_ask(const nlohmann::json& body, const char* field);
[[nodiscard]] Result<InferAsk> read_infer_ask(const nlohmann::json& body);

// A form of `file` parts, `model` and `top`, or JSON: "images", base 64 or data URIs. No address is
// ever fetched.
[[nodiscard]] Result<ImageAsk> read_image_ask(const http::Request& request);

std::string base64_floats(const std::vector<float>& values);  // little-endian

}  // namespace gantry
