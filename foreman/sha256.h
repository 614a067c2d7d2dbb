// SHA-256 (FIPS 180-4), for files whose bytes must be the ones that were recorded.
#pragma once

#include <string>
#include <string_view>

namespace gantry {

// 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view bytes);

}  // namespace gantry
