// gantry-voice behind the speech protocol.
#pragma once

#include "voice/options.h"

namespace gantry {

// Loads and answers until `in` ends; the exit status. A model that does not load is one error line,
// or the end of the process.
int serve_voice(const VoiceOptions& options, int in, int out);

}  // namespace gantry
