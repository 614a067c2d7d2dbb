// From one vector a token to one a text.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace gantry {

enum class Pooling { kMean, kCls, kLast };
std::string_view pooling_name(Pooling pooling);  // "mean", "cls", "last"

// Pure. states: (tokens, width), of the text's own tokens alone, at least one.
std::vector<float> pooled(Pooling pooling, std::span<const float> states, size_t width,
                          bool normalize);

}  // namespace gantry
