// The engine's kind says what is answered.
#include "voice/serve_voice.h"

#include "model/voice_keys.h"
#include "voice/detector.h"
#include "voice/diarizer.h"
#include "voice/listener.h"
#include "voice/speaker.h"
#include "worker/call_server.h"

namespace gantry {

namespace {

int refuse(int out, const Error& error) {
  say_speech(out, error);
  return exit_code(error.code);
}

int serve_speaker(const VoiceOptions& options, int in, int out) {
  const Result<std::unique_ptr<Speaker>> speaker = load_speaker(options);
  if (!speaker) return refuse(out, speaker.error());
  const auto answer = [&speaker](const SpeechCall& call, const std::atomic<bool>& cancel,
                                 const auto& tell) -> Result<SpeechDone> {
    if (!call.utterance) return fail(other_call("speaks"));
    uint64_t bytes = 0;
    const Result<void> done =
        (*speaker)->speak(*call.utterance, cancel, [&](std::string_view pcm) {
          bytes += pcm.size();
          tell(SpeechProgress{.pcm = std::string(pcm)});
        });
    if (!done) return fail(done.error());
    return SpeechDone{Millis(static_cast<int64_t>(bytes / 2 * 1000 / (*speaker)->rate()))};
  };
  answer_calls(SpeechReady{Millis(0), (*speaker)->rate()}, in, out, answer);
  return 0;
}

int serve_diarizer(const VoiceOptions& options, int in, int out) {
  const Result<std::unique_ptr<Diarizer>> diarizer = load_diarizer(options);
  if (!diarizer) return refuse(out, diarizer.error());
  const auto answer = [&diarizer](const SpeechCall& call, const std::atomic<bool>& cancel,
                                  const auto& tell) -> Result<SpeechDone> {
    if (!call.speakers) return fail(other_call("tells speakers apart"));
    const auto turns = (*diarizer)->diarize(call.wav, *call.speakers, [&](double fraction) {
      if (!cancel) tell(SpeechProgress{.fraction = fraction});
    });
    if (!turns) return fail(turns.error());
    if (cancel) return fail(Code::kCancelled, "cancelled");
    Millis end{0};
    for (const SpeakerTurn& turn : *turns) {
      tell(SpeechProgress{.fraction = 1, .turn = turn});
      end = std::max(end, turn.end);
    }
    return SpeechDone{end};
  };
  answer_calls(SpeechReady{}, in, out, answer);
  return 0;
}

int serve_detector(const VoiceOptions& options, int in, int out) {
  const Result<std::unique_ptr<Detector>> detector = load_detector(options);
  if (!detector) return refuse(out, detector.error());
  const auto answer = [&detector](const SpeechCall& call, const std::atomic<bool>& cancel,
                                  const auto& tell) -> Result<SpeechDone> {
    if (!call.speakers) return fail(other_call("finds speech"));
    return (*detector)->detect(call.wav, call.speakers->threshold, cancel, tell);
  };
  answer_calls(SpeechReady{}, in, out, answer);
  return 0;
}

int serve_listener(const VoiceOptions& options, int in, int out) {
  const Result<std::unique_ptr<Listener>> listener = load_listener(options);
  if (!listener) return refuse(out, listener.error());
  const auto answer = [&listener](const SpeechCall& call, const std::atomic<bool>& cancel,
                                  const auto& tell) -> Result<SpeechDone> {
    if (call.speakers || call.utterance) return fail(other_call("transcribes"));
    return (*listener)->listen({call.wav, call.from, call.speech}, cancel, tell);
  };
  answer_calls(SpeechReady{kListenWindow}, in, out, answer);
  return 0;
}

}  // namespace

int serve_voice(const VoiceOptions& options, int in, int out) {
  const VoiceEngine* engine = find_voice_engine(options.engine);
  if (engine == nullptr || engine->keys.empty()) {
    return refuse(out, {Code::kUsage, "there is no engine " + options.engine});
  }
  if (engine->kind == "diarization") return serve_diarizer(options, in, out);
  if (engine->kind == "vad") return serve_detector(options, in, out);
  if (engine->kind == "speech") return serve_listener(options, in, out);
  return serve_speaker(options, in, out);
}

}  // namespace gantry
