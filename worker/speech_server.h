// Recognition behind the speech protocol, as gantry-worker does it.
#pragma once

#include "worker/call_server.h"
#include "worker/speech.h"

namespace gantry {

// Loads and answers; the exit status. A model that does not load is one error line.
int serve_speech(const SpeechOptions& options, int in, int out);

}  // namespace gantry
