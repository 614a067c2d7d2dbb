// Which engine starts which program.
#include "worker/worker.h"

#include "worker/command.h"
#include "worker/llama.h"
#include "worker/speech_client.h"
#include "worker/voice.h"

namespace gantry {

Result<std::vector<SpeakerTurn>> Worker::diarize(const std::string&, const SpeakerWish&,
                                                 const http::Cancel&,
                                                 const std::function<void(Progress)>&) {
  return fail(Code::kUnsupported, "this model does not tell speakers apart",
              "name one of kind diarization");
}

Result<void> Worker::speak(const Utterance&, const http::Cancel&,
                           const std::function<bool(std::string_view)>&) {
  return fail(Code::kUnsupported, "this model does not speak", "name one of kind voice");
}

Result<std::unique_ptr<Worker>> start_worker(Os& os, const WorkerContext& context,
                                             const WorkerSpec& spec) {
  switch (spec.engine) {
    case EngineKind::kLlama:
      return start_llama(os, context, spec);
    case EngineKind::kWhisper:
      return start_speech(os, context, spec);
    case EngineKind::kCommand:
      return start_command(os, context, spec);
    case EngineKind::kVoice:
      return start_voice(os, context, spec);
    case EngineKind::kMedia:
      break;
  }
  return fail(Code::kInternal, "the media decoder is no loaded model");
}

}  // namespace gantry
