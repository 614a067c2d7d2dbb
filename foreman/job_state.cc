// Names of job states, both ways.
#include "foreman/job_state.h"

namespace gantry {

std::string_view job_state_name(JobState state) {
  switch (state) {
    case JobState::kWaiting: return "waiting";
    case JobState::kQueued: return "queued";
    case JobState::kRunning: return "running";
    case JobState::kPaused: return "paused";
    case JobState::kDone: return "done";
    case JobState::kFailed: return "failed";
    case JobState::kCancelled: return "cancelled";
    case JobState::kQuarantined: return "quarantined";
  }
  return "unknown";
}

std::optional<JobState> parse_job_state(std::string_view name) {
  for (const JobState state : kJobStates) {
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
