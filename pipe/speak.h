// Speaking a text or a script, sentence by sentence.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "foreman/client.h"

namespace gantry {

// The voice without a model; the last one that is tried where no model is named.
constexpr std::string_view kLastVoice = "espeak";

// The models to try for a text: `wanted` alone, or all voices, kLastVoice at the end. kNotFound.
[[nodiscard]] Result<std::vector<std::string>> voices_to_try(ForemanClient& foreman,
                                                             const std::string& wanted);
// Whether another voice may do what one failed at: it is not the text's fault.
bool another_may_speak(const Error& error);

// One sentence, said whole. kWorkerFailed when it made nothing that can be heard.
[[nodiscard]] Result<std::string> say(Session& session, const Utterance& utterance,
                                      const http::Cancel& cancel);

// {"text", or one file; "model", "voice", "speed", "script": lines of "NAME: text",
//  "voices": "NAME=VOICE,NAME=MODEL:VOICE"} -> a wav, 16-bit mono
std::unique_ptr<Executor> make_speak(Os& os);

}  // namespace gantry
