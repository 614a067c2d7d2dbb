// What a measuring worker says, as JSON lines on a pipe.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace gantry {

using OnEvent = std::function<void(const nlohmann::json&)>;

// Runs `work`, each of its events a line on `out`; an error as {"event":"error","code","message",
// "remedy"} and as a line on stderr. Returns the exit status.
int events_to(int out, const std::function<Result<void>(const OnEvent&)>& work);

}  // namespace gantry
