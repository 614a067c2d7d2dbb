// A piece of recognised speech.
#pragma once

#include <string>

#include "base/clock.h"

namespace gantry {

struct Segment {
  Millis start{0};  // from the start of the recording
  Millis end{0};
  std::string text;
  double confidence = 1.0;  // mean token probability, 0..1
};

}  // namespace gantry
