// Names of job states, both ways.
#include "foreman/job_state.h"

namespace gantry {

namespace {
constexpr std::array<JobState, 5> kStates = {JobState::kQueued, JobState::kRunning, JobState::kDone,
                                             JobState::kFailed, JobState::kCancelled};
}

std::string_view job_state_name(JobState state) {
  switch (state) {
    case JobState::kQueued: return "queued";
    case JobState::kRunning: return "running";
    case JobState::kDone: return "done";
    case JobState::kFailed: return "failed";
    case JobState::kCancelled: return "cancelled";
  }
  return "unknown";
}

std::optional<JobState> parse_job_state(std::string_view name) {
  for (const JobState state : kStates) {
    if (job_state_name(state) == name) return state;
  }
  return std::nullopt;
}

Code parse_code(std::string_view name) {
  for (int i = 0; i < static_cast<int>(Code::kInternal); ++i) {
    if (code_name(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  }
  return Code::kInternal;
}

}  // namespace gantry
