// The one line that everybody waits in, as a pure function: who is served now, what is loaded and
// what is unloaded for it. No clock, no thread, no process; the scheduler carries out what it says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "foreman/ledger.h"

namespace gantry {

enum class ModelState { kUnloaded, kLoading, kReady, kStopping };

// A model as the line sees it.
struct Stall {
  ModelState state = ModelState::kUnloaded;
  Shares shares;           // what it holds from kLoading to the end of kStopping
  uint32_t sessions = 0;   // being used
  uint32_t slots = 1;      // sessions at once
  // Order of the last session given. Not of the last one ended: a model that drains for somebody
  // would become the most recent by draining, and the choice would flip to another for ever.
  uint64_t last_served = 0;
  bool draining = false;   // asked to unload: no new session until it has been gone
  bool resting = false;    // failed a moment ago: not loaded yet, and nobody waits behind it
};

constexpr size_t kNoStall = SIZE_MAX;

// One request. Without a stall it asks for bytes alone (a decoder), held until it gives them back.
struct Waiter {
  uint64_t id = 0;
  size_t stall = kNoStall;
  Shares shares;  // without a stall
  int priority = 0;
  uint64_t arrival = 0;
};

struct Moves {
  std::vector<uint64_t> serve;  // these waiters get their session or their bytes now
  std::vector<size_t> load;     // the ledger has room for these
  std::vector<size_t> unload;   // nobody uses these
};

// Rules, in this order:
// 1. Waiters are looked at by priority, then arrival.
// 2. A waiter whose model is ready with a free session is served, unless the model must leave.
// 3. A waiter whose model is not there has it loaded when there is room, unless it rests.
// 4. The first waiter without room makes room: idle models leave at once, least recently served
//    first; where that is not enough, used ones take no newer sessions until they are idle and can
//    leave. What it does not need for itself stays.
// 5. Behind a waiter without room nobody takes bytes: it cannot be starved.
// Room is bytes and, for those who are never beside each other, that the others are not there.
// Every model's and waiter's shares must fit an empty ledger.
Moves decide(std::span<const Stall> stalls, std::span<const Waiter> waiters, const Ledger& ledger);

}  // namespace gantry
