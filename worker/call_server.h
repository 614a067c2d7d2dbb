// A worker's side of the speech protocol (speech_protocol.h) over two file descriptors, whatever
// it does.
#pragma once

#include <atomic>
#include <functional>
#include <string_view>

#include "worker/speech.h"
#include "worker/speech_protocol.h"

namespace gantry {

// Gives the protocol the real standard output and leaves standard error in its place, so that
// nothing a library prints can be taken for an answer. The new descriptor.
int take_stdout();

// One request; ends soon after `cancel` is set. `tell` may be called while it works.
using CallHandler = std::function<Result<SpeechDone>(
    const SpeechCall& call, const std::atomic<bool>& cancel,
    const std::function<void(const SpeechProgress&)>& tell)>;

// Says ready, then answers until `in` ends or `out` is gone; a request that is being worked on is
// cancelled then. Reads `in` on a thread of its own, so that a cancel is heard at once.
void answer_calls(const SpeechReady& ready, int in, int out, const CallHandler& handle);

// The same for a recogniser, which transcribes and nothing else.
void answer_speech(Recogniser& recogniser, int in, int out);

// One line; false once nobody reads any more.
bool say_speech(int out, const SpeechAnswer& answer);

// A request that a worker of another kind would take; `what` this one does: "transcribes".
Error other_call(std::string_view what);

}  // namespace gantry
