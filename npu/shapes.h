// The static shapes that an NPU wants: a few lengths and batch sizes, the rest is padded to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gantry {

// 16, 32, 48, 64, 96, 128, 192 ... up to the model's maximum: beyond 32 tokens at most a third is
// padding. Each length costs one compilation and its blob.
std::vector<uint32_t> default_buckets(uint32_t tokens_max);

// Pure. The smallest bucket that holds so many tokens; buckets ascend, the last one is the model's
// maximum, and no text is longer.
uint32_t bucket_of(const std::vector<uint32_t>& buckets, size_t tokens);

// Rows to compute at once for `waiting` texts where only 1 and `most` are compiled: `most` when
// more than half of it would be filled.
size_t rows_for(size_t waiting, size_t most);

}  // namespace gantry
