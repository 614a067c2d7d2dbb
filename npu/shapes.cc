// Lengths and rows.
#include "npu/shapes.h"

#include <algorithm>

namespace gantry {

namespace {
constexpr uint32_t kShortest = 16;
}

std::vector<uint32_t> default_buckets(uint32_t tokens_max) {
  std::vector<uint32_t> out;
  // 16, 32, 48, 64, 96, 128, 192, 256, 384 ...
  for (uint32_t n = kShortest; n < tokens_max; n *= 2) {
    out.push_back(n);
    if (n > kShortest && n + n / 2 < tokens_max) out.push_back(n + n / 2);
  }
  out.push_back(tokens_max);
  return out;
}

uint32_t bucket_of(const std::vector<uint32_t>& buckets, size_t tokens) {
  const auto found = std::ranges::lower_bound(buckets, tokens);
  return found == buckets.end() ? buckets.back() : *found;
}

size_t rows_for(size_t waiting, size_t most) { return waiting * 2 > most ? most : 1; }

}  // namespace gantry
