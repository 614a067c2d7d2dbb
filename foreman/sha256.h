// SHA-256 (FIPS 180-4), for files whose bytes must be the ones that were recorded.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace gantry {

// Of bytes that come piece by piece.
class Sha256 {
 public:
  void add(std::string_view bytes);
  std::string hex();  // of all that was added; the last call

 private:
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::string rest_;  // of a block
  uint64_t bytes_ = 0;
};

// 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view bytes);

}  // namespace gantry
