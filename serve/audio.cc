// POST /v1/audio/transcriptions: an uploaded recording, decoded and heard.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "http/message.h"
#include "http/multipart.h"
#include "serve/api.h"
#include "serve/audio_format.h"
#include "serve/spool.h"

namespace gantry {

namespace {

const Use kUse = {"/v1/audio/transcriptions", {"speech"}};
constexpr std::string_view kFormats[] = {"json", "text", "srt", "vtt", "verbose_json"};

struct Upload {
  std::string_view file;
  std::string model;
  std::string format = "json";
  std::string language;
};

std::optional<ApiError> check_field(const http::FormPart& part, Upload* upload) {
  const std::string value(part.content);
  if (part.name == "file") {
    upload->file = part.content;
  } else if (part.name == "model") {
    upload->model = value;
  } else if (part.name == "language") {
    if (value.size() > 32) return bad_request("language must be a code such as en", part.name);
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
  } else if (part.name == "timestamp_granularities[]" && value != "segment") {
    return bad_request("only segments have times (ask for segment)", part.name);
  }
  return std::nullopt;
}

std::optional<ApiError> read_upload(const http::Request& request, Upload* upload) {
  auto form = http::parse_form(request.header("Content-Type"), request.body);
  if (!form) {
    ApiError error = api_error(form.error());
    if (error.status == 422) error.status = 400;
    return error;
  }
  for (const http::FormPart& part : *form) {
    if (auto error = check_field(part, upload)) return error;
  }
  if (upload->model.empty()) {
    return bad_request("model is missing (name one of GET /v1/models)", "model");
  }
  if (upload->file.empty()) return bad_request("file is missing or empty", "file");
  if (std::find(std::begin(kFormats), std::end(kFormats), upload->format) == std::end(kFormats)) {
    return bad_request("response_format must be json, text, srt, vtt or verbose_json",
                       "response_format");
  }
  return std::nullopt;
}

Result<Heard> hear(Call& call, const Upload& upload, const Spool& spool, Session& session) {
  Heard heard;
  heard.language = upload.language;
  if (auto info = call.api.os.stat(spool.wav())) heard.duration = wav_duration(info->size);
  auto segments = session.worker().transcribe(spool.wav(), call.exchange.gone(),
                                              [](const Segment&, Progress) {});
  if (!segments) return fail(segments.error());
  heard.segments = std::move(*segments);
  return heard;
}

http::Response transcribe(Call& call, const Upload& upload) {
  Api& api = call.api;
  const Spool spool(api.os, api.options.spool_dir, api.clock);
  if (const auto error = spool.decode(api.foreman, upload.file, call.exchange.gone())) {
    return error_response(*error);
  }
  auto session = api.foreman.open(upload.model, call.exchange.gone(), call.exchange.local());
  const auto models = api.foreman.models();
  if (!session) return error_response(open_error(session.error(), models, upload.model));
  if (const auto refusal = refuse_kind(models, (*session)->model(), kUse)) {
    return error_response(*refusal);
  }
  auto heard = hear(call, upload, spool, **session);
  if (!heard) return error_response(api_error(heard.error()));
  auto response = render_heard(*heard, upload.format);
  if (!response) return error_response(api_error(response.error()));
  return std::move(*response);
}

}  // namespace

void audio_transcriptions(Call& call) {
  Upload upload;
  if (const auto error = read_upload(call.request(), &upload)) return call.reply(*error);
  const auto models = call.api.foreman.models();
  if (const auto refusal = refuse_name(models, upload.model, kUse, call.exchange.local())) {
    return call.reply(*refusal);
  }
  // Answered when the files are gone and the model is free.
  call.reply(transcribe(call, upload));
}

}  // namespace gantry
