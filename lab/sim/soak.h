// One daemon for a long time: nothing may grow with the jobs it has done or the days it has run.
#pragma once

#include <cstdint>
#include <string>

namespace gantry::sim {

// 0, or 1 with what grew on stdout.
int soak(uint64_t jobs, uint64_t days, const std::string& dir);

}  // namespace gantry::sim
