// What fuzz targets hold true of a parser; what does not hold ends the run with its input.
#pragma once

#include <cstdlib>
#include <string_view>

#include "base/result.h"

namespace gantry {

inline void expect(bool holds) {
  if (!holds) std::abort();
}

/// A refusal of bytes from outside says what it is about, and that they are the fault.
inline void expect_typed(const Error& error, std::string_view about) {
  expect(error.message.starts_with(about));
  expect(error.code == Code::kCorrupt || error.code == Code::kTooLarge ||
         error.code == Code::kUnsupported);
}

}  // namespace gantry
