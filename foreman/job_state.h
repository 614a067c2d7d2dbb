// The states of a job and the only ways between them. Checked at run time on every change.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "foreman/client.h"

namespace gantry {

struct Transition {
  JobState from;
  JobState to;
  const char* when;
};

// done, failed and cancelled are final: no row leads out of them.
inline constexpr std::array<Transition, 7> kTransitions = {{
    {JobState::kQueued, JobState::kRunning, "a thread claimed it, with a new token"},
    {JobState::kQueued, JobState::kCancelled, "the user cancelled it before it ran"},
    {JobState::kRunning, JobState::kDone, "its result is on the disk, under this claim"},
    {JobState::kRunning, JobState::kFailed, "a final error, or too many attempts without progress"},
    {JobState::kRunning, JobState::kCancelled, "the user cancelled it; its holder's token is void"},
    {JobState::kRunning, JobState::kQueued, "its worker or daemon went away, or the daemon stops"},
    {JobState::kQueued, JobState::kFailed, "its inputs changed or its kind is no longer known"},
}};

constexpr bool may_become(JobState from, JobState to) {
  for (const Transition& t : kTransitions) {
    if (t.from == from && t.to == to) return true;
  }
  return false;
}

constexpr bool is_final(JobState state) {
  return state == JobState::kDone || state == JobState::kFailed || state == JobState::kCancelled;
}

std::optional<JobState> parse_job_state(std::string_view name);

// The reverse of code_name; kInternal for a word that no code has.
Code parse_code(std::string_view name);

}  // namespace gantry
