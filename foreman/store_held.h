// A job row about to change: checked against its token and the transition table.
#pragma once

#include "foreman/store.h"

namespace gantry {

struct Store::Held {
  int64_t seq = 0;
  JobState state = JobState::kQueued;
  Token token = 0;
  std::string id;
};

}  // namespace gantry
