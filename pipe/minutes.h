// Minutes of a recorded meeting: speech to text, screens to text, map over parts, reduce to a list.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "foreman/client.h"
#include "pipe/prompts.h"

namespace gantry {

// The shipped models, used where a job names none.
constexpr const char* kSpeechModel = "micro-asr";
constexpr const char* kVisionModel = "micro-vision";
constexpr const char* kLanguageModel = "micro-minutes";

std::unique_ptr<Executor> make_minutes(Os& os);

// Bullets of a list, one a line, without blank lines; "- no actions" is no bullet.
std::string tidy_list(std::string_view text);

// A readable page from the job's result: minutes, screens, transcript. kCorrupt when it is none.
[[nodiscard]] Result<std::string> render_minutes(std::string_view result_json);

}  // namespace gantry
