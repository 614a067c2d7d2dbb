// Times as people write them on a command line.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace gantry {

// "+90m" (s, m, h or d from now), "22:00" (the next time that it is so here), or a time as
// parse_time reads it. kUsage for other texts.
[[nodiscard]] Result<WallTime> parse_moment(const std::string& text, WallTime now);

}  // namespace gantry
