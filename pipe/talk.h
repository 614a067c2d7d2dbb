// A conversation's turn: a recorded question, written down, answered by a language model, spoken.
#pragma once

#include <memory>

#include "foreman/client.h"

namespace gantry {

// One recording; {"speech", "language", "voice_model", "voice", "system", "tokens_max",
// "in_turn": true: the voice begins when the whole answer is there} ->
// {"question", "answer", "sentences", "together", "rate", "wav" (base 64),
//  "seconds": {"transcript", "first_token", "first_sound", "total"}, "steps"}
// The voice begins with the first whole sentence, beside the language model where both fit, else
// when that has ended. Seconds count from the start of the job's run.
std::unique_ptr<Executor> make_talk(Os& os);

}  // namespace gantry
