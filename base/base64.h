// Base 64 (RFC 4648, with padding), for bytes in JSON and data URIs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gantry {

std::string base64(std::string_view bytes);
// Nothing where the text is not what base64() makes: whole groups of four, no other characters.
std::optional<std::string> base64_bytes(std::string_view text);

}  // namespace gantry
