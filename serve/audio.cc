// POST /v1/audio/transcriptions: an uploaded recording, decoded and heard.
#include <nlohmann/json.hpp>

#include "http/message.h"
#include "pipe/detect.h"
#include "pipe/pcm.h"
#include "serve/api.h"
#include "serve/audio_format.h"
#include "serve/audio_upload.h"
#include "serve/proxy.h"
#include "serve/spool.h"

namespace gantry {

namespace {

const Use kUse = {"/v1/audio/transcriptions", {"speech"}};

Result<Heard> hear(Call& call, const AudioUpload& upload, const Spool& spool,
                   const Hearing& hearing, Session& session) {
  Heard heard = heard_as(upload);
  if (auto info = call.api.os.stat(spool.wav())) heard.duration = wav_duration(info->size);
  const Millis started = call.api.clock.steady();
  auto segments = session.worker().transcribe(hearing, call.exchange.gone(),
                                              [](const Segment&, Progress) {});
  if (!segments) return fail(segments.error());
  const auto seconds = [](Millis time) { return static_cast<double>(time.count()) / 1000; };
  if (!segments->empty()) {
    session.heard(seconds(heard.duration), seconds(call.api.clock.steady() - started));
  }
  heard.segments = std::move(*segments);
  return heard;
}

http::Response transcribe(Call& call, const AudioUpload& upload) {
  Api& api = call.api;
  const Spool spool(api.os, api.options.spool_dir, api.clock);
  if (const auto error = spool.decode(decoder_of(api.foreman), upload.file, call.exchange.gone())) {
    return error_response(*error);
  }
  const auto hearing =
      hearing_for(api.foreman, upload.model, spool.wav(), call.exchange.gone());
  if (!hearing) return error_response(api_error(hearing.error()));
  auto session = api.foreman.open(upload.model, call.exchange.gone(), call.exchange.local());
  const auto models = api.foreman.models();
  if (!session) return error_response(open_error(session.error(), models, upload.model));
  if (const auto refusal = refuse_kind(models, (*session)->model(), kUse)) {
    return error_response(*refusal);
  }
  auto heard = hear(call, upload, spool, *hearing, **session);
  if (!heard) return error_response(api_error(heard.error()));
  auto response = render_heard(*heard, upload.format);
  if (!response) return error_response(api_error(response.error()));
  return signed_by(std::move(*response), **session);
}

}  // namespace

Decode decoder_of(ForemanClient& foreman) {
  return [&foreman](const std::string& file, const std::string& wav,
                    const http::Cancel& gone) -> Result<void> {
    const Result<StepReport> report = foreman.decode(file, wav, gone);
    if (!report) return fail(report.error());
    return {};
  };
}

void audio_transcriptions(Call& call) {
  AudioUpload upload;
  if (const auto error = read_audio_upload(call.request(), true, &upload)) {
    return call.reply(*error);
  }
  const auto models = call.api.foreman.models();
  if (const auto refusal = refuse_name(models, upload.model, kUse, call.exchange.local())) {
    return call.reply(*refusal);
  }
  // Answered when the files are gone and the model is free.
  call.reply(transcribe(call, upload));
}

}  // namespace gantry
