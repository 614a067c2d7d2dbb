// POST /v1/audio/speech: a text, spoken sentence by sentence as it is asked for.
// POST /v1/audio/diarization: who spoke when in an uploaded recording.
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/ids.h"
#include "http/message.h"
#include "http/multipart.h"
#include "pipe/diarize.h"
#include "pipe/pcm.h"
#include "pipe/script.h"
#include "pipe/speak.h"
#include "pipe/speakers.h"
#include "serve/api.h"
#include "serve/spool.h"

namespace gantry {

namespace {

const Use kSpeech = {"/v1/audio/speech", {"voice"}};
const Use kDiarization = {"/v1/audio/diarization", {"diarization"}};

// ---- speech

struct SpeechWish {
  std::vector<std::string> texts;
  std::string model, voice;
  SoundFormat format = SoundFormat::kMp3;  // OpenAI's default
  double speed = 1;
};

std::optional<ApiError> text_of(const nlohmann::json& body, const char* key, std::string* out) {
  const auto found = body.find(key);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_string()) return bad_request(std::string(key) + " must be a text", key);
  *out = found->get<std::string>();
  return std::nullopt;
}

std::optional<ApiError> read_speech(const nlohmann::json& body, SpeechWish* wish) {
  std::string input, format(facts_of(wish->format).name);
  for (const auto& [key, target] : {std::pair{"input", &input}, {"model", &wish->model},
                                    {"voice", &wish->voice}, {"response_format", &format}}) {
    if (auto error = text_of(body, key, target)) return error;
  }
  const auto speed = body.find("speed");
  if (speed != body.end() && !speed->is_null()) {
    const bool number = speed->is_number();
    wish->speed = number ? speed->get<double>() : 0;
    if (!(wish->speed >= kSpeedMin && wish->speed <= kSpeedMax)) {
      return bad_request("speed must be from 0.25 to 4", "speed");
    }
  }
  const std::optional<SoundFormat> known = sound_format(format);
  if (!known) {
    return bad_request("response_format must be " + sound_format_names(), "response_format");
  }
  wish->format = *known;
  Result<std::vector<std::string>> texts = sentences(input);
  if (!texts) {
    return ApiError{400, describe(texts.error()), std::string(code_name(texts.error().code)),
                    "input"};
  }
  wish->texts = std::move(*texts);
  return std::nullopt;
}

// Says the first sentence before anything is answered, so that what is wrong is an error and no
// sound that breaks off.
class Speaking {
 public:
  Speaking(Call& call, const SpeechWish& wish) : call_(call), wish_(wish) {}

  // The error of the first sentence; nothing when the answer has begun.
  std::optional<Error> run(Session& session) {
    const uint32_t rate = session.worker().sound_rate();
    if (facts_of(wish_.format).encoded) {
      if (!call_.api.options.encode) {
        return Error{Code::kUnsupported, "nothing here encodes sound", "ask for wav or pcm"};
      }
      auto encoding = call_.api.options.encode(wish_.format, rate);
      if (!encoding) return encoding.error();
      encoding_ = std::move(*encoding);
    }
    for (const std::string& text : wish_.texts) {
      const Result<void> spoken = session.worker().speak(
          {text, wish_.voice, wish_.speed}, call_.exchange.gone(),
          [&](std::string_view pcm) { return write(rate, pcm); });
      if (spoken) continue;
      const Error error = broken_ ? *broken_ : spoken.error();
      if (!begun_) return error;
      break_off(session, error);
      return std::nullopt;
    }
    if (!begun_) return Error{Code::kWorkerFailed, "the voice made no sound", "see its log"};
    if (!encoding_) return std::nullopt;
    const Result<std::string> rest = encoding_->finish();
    if (!rest) break_off(session, rest.error());
    if (rest && !rest->empty()) (void)call_.exchange.write(*rest);  // gone: nobody to tell
    return std::nullopt;
  }

 private:
  // The sound ends there: its head is long gone.
  void break_off(const Session& session, const Error& error) {
    call_.api.log.warn("speech_broke_off", {{"model", session.model()}, {"error", error.message}});
  }

  bool begin(uint32_t rate) {
    begun_ = true;
    http::Response head;
    head.headers = {{"Content-Type", std::string(facts_of(wish_.format).content_type)}};
    if (!encoding_) head.headers.emplace_back("X-Sample-Rate", std::to_string(rate));
    if (!call_.exchange.begin(head)) return false;
    return wish_.format != SoundFormat::kWav ||
           call_.exchange.write(wav_head(rate, kPcmUnknown)).has_value();
  }

  bool write(uint32_t rate, std::string_view pcm) {
    std::string encoded;
    if (encoding_) {
      Result<std::string> made = encoding_->put(pcm);
      if (!made) {
        broken_ = made.error();
        return false;
      }
      encoded = std::move(*made);
    }
    if (!begun_ && !begin(rate)) return false;
    const std::string_view bytes = encoding_ ? std::string_view(encoded) : pcm;
    return bytes.empty() || call_.exchange.write(bytes).has_value();
  }

  Call& call_;
  const SpeechWish& wish_;
  std::unique_ptr<SoundEncoding> encoding_;  // none: as it comes
  std::optional<Error> broken_;              // what ended the encoding
  bool begun_ = false;
};

// An error with its remedy: of a voice that is not there, the voices that are.
ApiError told(const Error& error) {
  ApiError out = api_error(error);
  if (error.code == Code::kNotFound) out.param = "voice";
  return out;
}

// One model's try. Nothing: it is answered.
std::optional<Error> try_to_speak(Call& call, const SpeechWish& wish, const std::string& model,
                                  bool* opened) {
  auto session = call.api.foreman.open(model, call.exchange.gone(), call.exchange.local());
  *opened = session.has_value();
  if (!session) return session.error();
  if (const auto refusal =
          refuse_kind(call.api.foreman.models(), (*session)->model(), kSpeech)) {
    call.reply(*refusal);
    return std::nullopt;
  }
  return Speaking(call, wish).run(**session);
}

// ---- diarization

struct Upload {
  std::string_view file;
  std::string name = "recording", model, format = "json";
  SpeakerWish wish;
};

bool read_number(std::string_view text, double least, double most, double* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && *out >= least &&
         *out <= most;
}

std::optional<ApiError> read_part(const http::FormPart& part, Upload* upload) {
  double number = 0;
  if (part.name == "file") {
    upload->file = part.content;
    if (!part.filename.empty()) upload->name = base_name(part.filename);
  } else if (part.name == "model") {
    upload->model = part.content;
  } else if (part.name == "response_format") {
    upload->format = part.content;
  } else if (part.name == "num_speakers") {
    if (!read_number(part.content, 1, kSpeakersMax, &number) ||
        number != static_cast<uint32_t>(number)) {
      return bad_request("num_speakers must be a whole number from 1 to 64", part.name);
    }
    upload->wish.speakers = static_cast<uint32_t>(number);
  } else if (part.name == "threshold") {
    if (!read_number(part.content, 0, kSpeakerThresholdMax, &number)) {
      return bad_request("threshold must be a number from 0 to 2", part.name);
    }
    upload->wish.threshold = number;
  }
  return std::nullopt;
}

std::optional<ApiError> read_upload(const http::Request& request, Upload* upload) {
  auto form = http::parse_form(request.header("Content-Type"), request.body);
  if (!form) return bad_request(form.error().message);
  for (const http::FormPart& part : *form) {
    if (auto error = read_part(part, upload)) return error;
  }
  if (upload->file.empty()) return bad_request("file is missing or empty", "file");
  if (upload->format != "json" && upload->format != "rttm") {
    return bad_request("response_format must be json or rttm", "response_format");
  }
  return std::nullopt;
}

http::Response turns_response(const Upload& upload, const std::vector<SpeakerTurn>& turns) {
  if (upload.format == "rttm") {
    return text_response(200, "text/plain; charset=utf-8", rttm(turns, upload.name));
  }
  uint32_t speakers = 0;
  for (const SpeakerTurn& turn : turns) speakers = std::max(speakers, turn.speaker + 1);
  return json_response(200, {{"num_speakers", speakers}, {"turns", turns_json(turns)}});
}

http::Response diarize(Call& call, const Upload& upload) {
  Api& api = call.api;
  auto model = diarization_model(api.foreman, upload.model);
  if (!model) return error_response(api_error(model.error()));
  const Spool spool(api.os, api.options.spool_dir, api.clock);
  if (const auto error = spool.decode(decoder_of(api.foreman), upload.file, call.exchange.gone())) {
    return error_response(*error);
  }
  auto session = api.foreman.open(*model, call.exchange.gone(), call.exchange.local());
  const auto models = api.foreman.models();
  if (!session) return error_response(open_error(session.error(), models, *model));
  if (const auto refusal = refuse_kind(models, (*session)->model(), kDiarization)) {
    return error_response(*refusal);
  }
  auto turns = (*session)->worker().diarize(spool.wav(), upload.wish, call.exchange.gone(), {});
  if (!turns) return error_response(api_error(turns.error()));
  return turns_response(upload, *turns);
}

}  // namespace

void audio_speech(Call& call) {
  const auto body = read_body(call, false);
  if (!body) return;
  SpeechWish wish;
  if (const auto error = read_speech(*body, &wish)) return call.reply(*error);
  const auto models = call.api.foreman.models();
  if (!wish.model.empty()) {
    if (const auto no = refuse_name(models, wish.model, kSpeech, call.exchange.local())) {
      return call.reply(*no);
    }
  }
  const auto voices = voices_to_try(call.api.foreman, wish.model);
  if (!voices) return call.reply(api_error(voices.error()));
  for (size_t i = 0; i < voices->size(); ++i) {
    bool opened = false;
    const auto error = try_to_speak(call, wish, (*voices)[i], &opened);
    if (!error) return;
    if (i + 1 < voices->size() && another_may_speak(*error)) continue;
    return call.reply(opened ? told(*error) : open_error(*error, models, (*voices)[i]));
  }
}

void audio_diarization(Call& call) {
  Upload upload;
  if (const auto error = read_upload(call.request(), &upload)) return call.reply(*error);
  if (!upload.model.empty()) {
    const auto models = call.api.foreman.models();
    if (const auto no = refuse_name(models, upload.model, kDiarization, call.exchange.local())) {
      return call.reply(*no);
    }
  }
  // Answered when the files are gone and the model is free.
  call.reply(diarize(call, upload));
}

}  // namespace gantry
