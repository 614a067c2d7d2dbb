// Model files opened as untrusted bytes, in a process that may crash.
#pragma once

#include <string>

#include "base/result.h"

namespace gantry {

// The facts of a model file as JSON (model/card.h's card_json); with a vision encoder beside it
// {"model":...,"mmproj":...}. Errors name the file.
[[nodiscard]] Result<std::string> read_cards(const std::string& file, const std::string& mmproj);

}  // namespace gantry
