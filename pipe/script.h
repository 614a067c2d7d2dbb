// A text to be spoken, as utterances: sentences of one voice each. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "worker/worker.h"

namespace gantry {

// Of one request. A minute of speech is about 900 characters; an hour is cut into jobs.
constexpr size_t kSpeakTextMax = 20'000;  // bytes
constexpr size_t kScriptVoicesMax = 4;

// Cut at the ends of sentences and of paragraphs; what is longer than an utterance may be is cut
// at a comma or a blank. White space is one blank. Nothing is lost but white space; pieces
// without a letter or digit stay with their neighbours. kUsage: empty, or no clean UTF-8;
// kTooLarge.
[[nodiscard]] Result<std::vector<std::string>> sentences(std::string_view text);

// Lines of "NAME: text" in a voice each; a line without a name goes on with the one before.
struct ScriptLine {
  std::string speaker;
  std::string text;
};
// kUsage: no names in it, more than kScriptVoicesMax of them.
[[nodiscard]] Result<std::vector<ScriptLine>> parse_script(std::string_view text);

// Whether every line begins with a name, and there are at least two lines.
bool is_script(std::string_view text);

}  // namespace gantry
