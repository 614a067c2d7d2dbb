// Field by field.
#include "npu/ask.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/base64.h"
#include "base/limits.h"
#include "http/multipart.h"
#include "npu/limits.h"
#include "serve/reply.h"

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

namespace {

// "data:image/png;base64,..." or base 64 alone.
Result<std::string> image_of(const json& value, const std::string& name) {
  if (!value.is_string()) return fail(usage(name + " must be a text", "base 64 or a data URI"));
  std::string_view text = value.get_ref<const std::string&>();
  if (text.starts_with("http:") || text.starts_with("https:") || text.starts_with("file:")) {
    return fail(usage(name + " is an address; none is fetched", "send the picture's bytes"));
  }
  if (text.starts_with("data:")) {
    const size_t comma = text.find(";base64,");
    if (comma == std::string_view::npos) {
      return fail(usage(name + " is a data URI without base 64"));
    }
    text.remove_prefix(comma + std::string_view(";base64,").size());
  }
  std::optional<std::string> bytes = base64_bytes(text);
  if (!bytes || bytes->empty()) return fail(usage(name + " is no base 64"));
  return std::move(*bytes);
}

Result<void> read_top(double number, uint32_t* top) {
  if (!(number >= 1 && number <= 1000) || number != std::floor(number)) {
    return fail(usage("top must be a whole number from 1 to 1000"));
  }
  *top = static_cast<uint32_t>(number);
  return {};
}

Result<ImageAsk> image_form(const http::Request& request) {
  const auto form = http::parse_form(request.header("Content-Type"), request.body);
  if (!form) return fail(form.error());
  ImageAsk ask;
  for (const http::FormPart& part : *form) {
    if (part.name == "file" || part.name == "file[]") ask.images.emplace_back(part.content);
    if (part.name == "model") ask.model = part.content;
    if (part.name != "top") continue;
    double number = 0;
    const char* end = part.content.data() + part.content.size();
    if (std::from_chars(part.content.data(), end, number).ptr != end) number = 0;
    if (Result<void> read = read_top(number, &ask.top); !read) return fail(read.error());
  }
  return ask;
}

Result<ImageAsk> image_json(const json& body) {
  ImageAsk ask;
  const Result<std::string> model = text_of(body, "model");
  if (!model) return fail(model.error());
  ask.model = *model;
  const auto top = body.find("top");
  if (top != body.end() && !top->is_null()) {
    const double number = top->is_number() ? top->get<double>() : 0;
    if (Result<void> read = read_top(number, &ask.top); !read) return fail(read.error());
  }
  const auto images = body.find("images");
  if (images == body.end() || !images->is_array()) {
    return fail(usage("images must be a list of pictures", "base 64 or data URIs"));
  }
  for (size_t i = 0; i < std::min<size_t>(images->size(), kImagesMax + 1); ++i) {
    Result<std::string> image = image_of((*images)[i], fmt::format("images[{}]", i));
    if (!image) return fail(image.error());
    ask.images.push_back(std::move(*image));
  }
  return ask;
}

}  // namespace

Result<ImageAsk> read_image_ask(const http::Request& request) {
  const bool form = request.header("Content-Type").starts_with("multipart/");
  Result<ImageAsk> ask;
  if (form) {
    ask = image_form(request);
  } else {
    const Result<json> body = parse_json_object(request.body);
    if (!body) return fail(body.error());
    ask = image_json(*body);
  }
  if (!ask) return ask;
  if (ask->images.empty()) {
    return fail(usage("there is no picture", form ? "send one as file" : "list one in images"));
  }
  if (ask->images.size() > kImagesMax) {
    return fail(Code::kTooLarge, fmt::format("more than {} pictures at once", kImagesMax),
                "send them in several requests");
  }
  for (const std::string& image : ask->images) {
    if (!image.empty() && image.size() <= kImageMax.n) continue;
    return fail(Code::kTooLarge, fmt::format("a picture is empty or has more than {} bytes",
                                             kImageMax.n),
                "make it smaller");
  }
  return ask;
}

std::string base64_floats(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  return base64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

}  // namespace gantry
