// Text from files that nobody vouches for, made fit for a terminal, a log line or JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gantry {

constexpr size_t kShownTextMax = 96;  // bytes of a hostile name shown in a message

// Valid UTF-8 without control characters, line separators or direction overrides.
bool is_clean_text(std::string_view text);

// The same text where it is clean; every byte that is not becomes '?'. At most `max` bytes are
// shown, then "..."; a character is never cut in half.
std::string clean_text(std::string_view text, size_t max = kShownTextMax);

// clean_text in single quotes.
std::string quoted(std::string_view text);

}  // namespace gantry
