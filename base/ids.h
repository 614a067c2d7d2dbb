// Ids that sort by time: 10 characters of milliseconds, 10 of randomness, Crockford's base 32.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/rng.h"

namespace gantry {

constexpr size_t kIdLength = 20;

std::string make_id(const Clock& clock, Rng& rng);

// Exactly kIdLength characters of the id alphabet: safe as a file name.
bool is_id(std::string_view text);

}  // namespace gantry
