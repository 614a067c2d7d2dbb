// Small pieces of HTTP text shared by both sides.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/http.h"

namespace gantry::http {

// Case-insensitive for ASCII letters.
bool same_text(std::string_view a, std::string_view b);

// For error messages: what a stranger sent, cut to 100 characters, control bytes as '?'.
std::string printable(std::string_view text);

// Nothing when a '%' is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

// The first header of that name; empty when absent.
std::string_view find_header(const Headers& headers, std::string_view name);

}  // namespace gantry::http
