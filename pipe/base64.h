// Base 64 (RFC 4648, with padding), for pictures in data URIs.
#pragma once

#include <string>
#include <string_view>

namespace gantry {

std::string base64(std::string_view bytes);

}  // namespace gantry
