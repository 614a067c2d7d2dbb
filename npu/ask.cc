// Field by field.
#include "npu/ask.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "npu/limits.h"

namespace gantry {

using nlohmann::json;

namespace {

Error usage(std::string message, std::string remedy = {}) {
  return {Code::kUsage, std::move(message), std::move(remedy)};
}

Result<std::string> text_of(const json& body, const char* key) {
  const auto found = body.find(key);
  if (found == body.end() || found->is_null()) return std::string();
  if (!found->is_string()) return fail(usage(std::string(key) + " must be a text"));
  return found->get<std::string>();
}

Result<bool> flag_of(const json& body, const char* key) {
  const auto found = body.find(key);
  if (found == body.end() || found->is_null()) return false;
  if (!found->is_boolean()) return fail(usage(std::string(key) + " must be true or false"));
  return found->get<bool>();
}

Result<std::string> one_text(const json& value, const std::string& name) {
  if (!value.is_string()) return fail(usage(name + " must be a text"));
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return fail(usage(name + " is empty", "leave it out"));
  if (text.size() <= kTextMax.n) return text;
  return fail(Code::kTooLarge, fmt::format("{} has {} bytes, at most {} are taken", name,
                                           text.size(), kTextMax.n),
              "cut it into passages");
}

struct Sampling {
  const char* name;
  double least, most;
  bool whole;
};
constexpr std::array<Sampling, 7> kSampling = {{{"temperature", 0, 10, false},
                                                {"top_p", 0, 1, false},
                                                {"min_p", 0, 1, false},
                                                {"repeat_penalty", 0, 10, false},
                                                {"presence_penalty", -10, 10, false},
                                                {"top_k", 0, 1e6, true},
                                                {"seed", 0, 4294967295.0, true}}};

Result<void> read_sampling(const json& from, json* into) {
  for (const Sampling& one : kSampling) {
    const auto found = from.find(one.name);
    if (found == from.end() || found->is_null()) continue;
    const bool kind = one.whole ? found->is_number_integer() : found->is_number();
    const double value = kind ? found->get<double>() : 0;
    if (!kind || value < one.least || value > one.most) {
      return fail(usage(fmt::format("{} must be a {}number from {} to {}", one.name,
                                    one.whole ? "whole " : "", one.least, one.most)));
    }
    (*into)[one.name] = *found;
  }
  const auto stop = from.find("stop");
  if (stop == from.end() || stop->is_null()) return {};
  const json list = stop->is_string() ? json::array({*stop}) : *stop;
  bool sound = list.is_array() && list.size() <= kStopsMax;
  for (const json& one : list) sound = sound && one.is_string() && one != "";
  if (!sound) return fail(usage(fmt::format("stop must be at most {} texts", kStopsMax)));
  (*into)["stop"] = list;
  return {};
}

Result<void> read_tokens(const json& from, uint32_t* into) {
  for (const char* key : {"max_tokens", "n_predict"}) {
    const auto found = from.find(key);
    if (found == from.end() || found->is_null()) continue;
    if (!found->is_number_integer() || *found < 1 || *found > kAnswerTokensMax) {
      return fail(usage(fmt::format("{} must be a whole number from 1 to {}", key,
                                    kAnswerTokensMax)));
    }
    *into = found->get<uint32_t>();
  }
  return {};
}

}  // namespace

Result<EmbedAsk> read_embed_ask(const json& body, const char* field) {
  EmbedAsk ask;
  const Result<std::string> model = text_of(body, "model");
  if (!model) return fail(model.error());
  ask.model = *model;
  const Result<std::string> format = text_of(body, "encoding_format");
  if (!format) return fail(format.error());
  if (!format->empty() && *format != "float" && *format != "base64") {
    return fail(usage("encoding_format must be float or base64"));
  }
  ask.base64 = *format == "base64";
  const auto texts = body.find(field);
  const bool single = texts != body.end() && texts->is_string();
  if (!single && (texts == body.end() || !texts->is_array() || texts->empty())) {
    return fail(usage(std::string(field) + " must be a text or a list of texts"));
  }
  const size_t count = single ? 1 : texts->size();
  if (count > kTextsMax) {
    return fail(Code::kTooLarge, fmt::format("{} has {} texts, at most {} are taken at once", field,
                                             count, kTextsMax),
                "send them in several requests");
  }
  for (size_t i = 0; i < count; ++i) {
    const std::string name = single ? field : fmt::format("{}[{}]", field, i);
    Result<std::string> text = one_text(single ? *texts : (*texts)[i], name);
    if (!text) return fail(text.error());
    ask.texts.push_back(std::move(*text));
  }
  return ask;
}

Result<InferAsk> read_infer_ask(const json& body) {
  InferAsk ask;
  const Result<std::string> model = text_of(body, "model");
  if (!model) return fail(model.error());
  ask.model = *model;
  const auto prompt = body.find("prompt");
  if (prompt == body.end()) return fail(usage("prompt is missing"));
  Result<std::string> text = one_text(*prompt, "prompt");
  if (!text) return fail(text.error());
  ask.question.prompt = std::move(*text);
  const Result<bool> stream = flag_of(body, "stream"), raw = flag_of(body, "raw");
  if (!stream) return fail(stream.error());
  if (!raw) return fail(raw.error());
  ask.stream = *stream;
  ask.question.raw = *raw;
  const auto options = body.find("options");
  if (options != body.end() && !options->is_object()) {
    return fail(usage("options must be an object"));
  }
  // Beside the prompt or under "options".
  for (const json* from : {&body, options != body.end() ? &*options : nullptr}) {
    if (from == nullptr) continue;
    if (Result<void> read = read_sampling(*from, &ask.question.sampling); !read) {
      return fail(read.error());
    }
    if (Result<void> read = read_tokens(*from, &ask.question.answer_tokens); !read) {
      return fail(read.error());
    }
  }
  return ask;
}

std::string base64_floats(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<unsigned char> bytes(values.size() * sizeof(float));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t here = std::min<size_t>(3, bytes.size() - i);
    uint32_t three = 0;
    for (size_t k = 0; k < 3; ++k) three = three << 8 | (k < here ? bytes[i + k] : 0U);
    for (size_t k = 0; k < 4; ++k) out += k <= here ? kDigits[three >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace gantry
