// Recognition behind the speech protocol.
#include "worker/speech_server.h"

#include "worker/call_server.h"

namespace gantry {

int serve_speech(const SpeechOptions& options, int in, int out) {
  const Result<std::unique_ptr<Recogniser>> recogniser = load_recogniser(options);
  if (!recogniser) {
    say_speech(out, recogniser.error());
    return exit_code(recogniser.error().code);
  }
  answer_speech(**recogniser, in, out);
  return 0;
}

}  // namespace gantry
