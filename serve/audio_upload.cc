// A form, field by field.
#include "serve/audio_upload.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "http/multipart.h"

namespace gantry {

namespace {

constexpr std::array<std::string_view, 5> kFormats = {"json", "text", "srt", "vtt",
                                                      "verbose_json"};
constexpr size_t kLanguageMax = 32;

std::optional<ApiError> check_field(const http::FormPart& part, AudioUpload* upload) {
  const std::string value(part.content);
  if (part.name == "file") {
    upload->file = part.content;
  } else if (part.name == "model") {
    upload->model = value;
  } else if (part.name == "language") {
    if (value.size() > kLanguageMax) {
      return bad_request("language must be a code such as en", part.name);
    }
    upload->language = value;
  } else if (part.name == "response_format") {
    upload->format = value;
  } else if (part.name == "temperature") {
    char* end = nullptr;
    const double temperature = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(temperature >= 0 && temperature <= 1)) {
      return bad_request("temperature must be from 0 to 1", part.name);
    }
  } else if (part.name == "stream" && value != "false" && value != "False") {
    return bad_request("transcriptions are not streamed yet (leave stream out)", part.name);
  } else if (part.name == "timestamp_granularities[]") {
    if (value != "word" && value != "segment") {
      return bad_request("words and segments have times (ask for word or segment)", part.name);
    }
    (value == "word" ? upload->words : upload->segments) = true;
  }
  return std::nullopt;
}

std::optional<ApiError> check_upload(const AudioUpload& upload) {
  if (upload.file.empty()) return bad_request("file is missing or empty", "file");
  if (std::ranges::find(kFormats, upload.format) == kFormats.end()) {
    return bad_request("response_format must be json, text, srt, vtt or verbose_json",
                       "response_format");
  }
  if (upload.words && upload.format != "verbose_json") {
    return bad_request("times of words are in verbose_json alone (set response_format)",
                       "timestamp_granularities[]");
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> read_audio_upload(const http::Request& request, bool needs_model,
                                          AudioUpload* upload) {
  auto form = http::parse_form(request.header("Content-Type"), request.body);
  if (!form) {
    ApiError error = api_error(form.error());
    if (error.status == 422) error.status = 400;
    return error;
  }
  for (const http::FormPart& part : *form) {
    if (auto error = check_field(part, upload)) return error;
  }
  if (needs_model && upload->model.empty()) {
    return bad_request("model is missing (name one of GET /v1/models)", "model");
  }
  return check_upload(*upload);
}

std::optional<ApiError> read_audio_body(const http::Request& request, AudioUpload* upload) {
  for (const char* key : {"model", "language", "response_format"}) {
    const std::optional<std::string> value = request.query(key);
    if (!value) continue;
    if (auto error = check_field({.name = key, .content = *value}, upload)) return error;
  }
  upload->file = request.body;
  return check_upload(*upload);
}

Heard heard_as(const AudioUpload& upload) {
  Heard heard;
  heard.language = upload.language;
  heard.words = upload.words;
  heard.only_words = upload.words && !upload.segments;
  return heard;
}

}  // namespace gantry
