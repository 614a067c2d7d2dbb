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

inline constexpr std::array<JobState, 8> kJobStates = {
    JobState::kWaiting, JobState::kQueued, JobState::kRunning,   JobState::kPaused,
    JobState::kDone,    JobState::kFailed, JobState::kCancelled, JobState::kQuarantined};

// No row leads out of done. Out of the other ends leads the user's word alone.
inline constexpr std::array<Transition, 19> kTransitions = {{
    {JobState::kWaiting, JobState::kQueued, "what it depends on is done and its time has come"},
    {JobState::kWaiting, JobState::kFailed, "a job it depends on ended otherwise, or its deadline"},
    {JobState::kWaiting, JobState::kCancelled, "the user cancelled it"},
    {JobState::kWaiting, JobState::kPaused, "the user paused it"},
    {JobState::kQueued, JobState::kRunning, "a thread claimed it, with a new token"},
    {JobState::kQueued, JobState::kFailed, "its deadline passed in the line"},
    {JobState::kQueued, JobState::kCancelled, "the user cancelled it before it ran"},
    {JobState::kQueued, JobState::kPaused, "the user paused it"},
    {JobState::kRunning, JobState::kDone, "its result is on the disk, under this claim"},
    {JobState::kRunning, JobState::kFailed, "a final error, or too many attempts without progress"},
    {JobState::kRunning, JobState::kCancelled, "the user cancelled it; its holder's token is void"},
    {JobState::kRunning, JobState::kPaused, "the user paused it; its holder's token is void"},
    {JobState::kRunning, JobState::kQuarantined, "it was there when three workers died in a row"},
    {JobState::kRunning, JobState::kQueued, "its worker or daemon went away, or the daemon stops"},
    {JobState::kPaused, JobState::kWaiting, "the user resumed it"},
    {JobState::kPaused, JobState::kCancelled, "the user cancelled it"},
    {JobState::kFailed, JobState::kWaiting, "the user wants it tried again"},
    {JobState::kCancelled, JobState::kWaiting, "the user wants it after all"},
    {JobState::kQuarantined, JobState::kWaiting, "the user has looked and wants it tried again"},
}};

constexpr bool may_become(JobState from, JobState to) {
  for (const Transition& t : kTransitions) {
    if (t.from == from && t.to == to) return true;
  }
  return false;
}

// Nothing happens to it by itself any more.
constexpr bool is_final(JobState state) {
  return state == JobState::kDone || state == JobState::kFailed ||
         state == JobState::kCancelled || state == JobState::kQuarantined;
}

// The reverse of code_name; kInternal for a word that no code has.
Code parse_code(std::string_view name);

}  // namespace gantry
