// What a file that is no model looks like, from its first bytes, so that the error can say what
// to do instead.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace gantry {

struct Lookalike {
  std::string_view what;    // "a safetensors file"
  std::string_view remedy;  // one clause
};

// Looks at the first 512 bytes at most.
Lookalike look_at(std::span<const std::byte> file);

}  // namespace gantry
