// The worker's side of the speech protocol (speech_protocol.h) over two file descriptors.
#pragma once

#include "worker/speech.h"

namespace gantry {

// Gives the protocol the real standard output and leaves standard error in its place, so that
// nothing a library prints can be taken for an answer. The new descriptor.
int take_stdout();

// Says ready, then answers until `in` ends or `out` is gone; a request that is being worked on is
// cancelled then. Reads `in` on a thread of its own, so that a cancel is heard at once.
void answer_speech(Recogniser& recogniser, int in, int out);

// Loads and answers; the exit status. A model that does not load is one error line.
int serve_speech(const SpeechOptions& options, int in, int out);

}  // namespace gantry
