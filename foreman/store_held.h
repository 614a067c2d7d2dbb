// A job row about to change: checked against its token and the transition table.
#pragma once

#include <string_view>
#include <vector>

#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

struct Store::Held {
  int64_t seq = 0;
  JobState state = JobState::kQueued;
  Token token = 0;
  std::string id;
  bool part = false;  // of another job, whose executor alone runs it
};

// The parts of a job, oldest first; `states`: those in one of these (in quotes), empty: all.
[[nodiscard]] Result<std::vector<Store::Held>> parts_of(const Database& database, int64_t seq,
                                                        std::string_view states);
// The queued row is running from now on.
[[nodiscard]] Result<void> begin_row(const Database& database, int64_t seq, Token token,
                                     WallTime now);

}  // namespace gantry
