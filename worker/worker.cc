// Which engine starts which program.
#include "worker/worker.h"

#include "worker/command.h"
#include "worker/llama.h"
#include "worker/speech_client.h"

namespace gantry {

Result<std::unique_ptr<Worker>> start_worker(Os& os, const WorkerContext& context,
                                             const WorkerSpec& spec) {
  switch (spec.engine) {
    case EngineKind::kLlama:
      return start_llama(os, context, spec);
    case EngineKind::kWhisper:
      return start_speech(os, context, spec);
    case EngineKind::kCommand:
      return start_command(os, context, spec);
    case EngineKind::kMedia:
      break;
  }
  return fail(Code::kInternal, "the media decoder is no loaded model");
}

}  // namespace gantry
