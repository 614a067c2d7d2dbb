// The leases that are held just now, in memory beside the store: since when, when their holders
// were last seen alive, and until when they may be held.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/os.h"
#include "base/sync.h"
#include "foreman/store.h"

namespace gantry {

// Times in rows count from the machine's start: clocks that are set move nothing. Thread-safe.
class LeaseBook {
 public:
  LeaseBook(Os& os, const Clock& clock, Store& store) : os_(os), clock_(clock), store_(store) {}

  // Of one token; synced when it returns. `limit`: how long it may be held; 0: no limit.
  [[nodiscard]] Result<void> add(std::vector<LeaseRow> rows, Millis limit);
  void take_over(const LeaseRow& row);  // the store has it already
  [[nodiscard]] Result<void> remove(Token token);
  void lift_limit(Token token);  // in the store with the next heartbeat
  std::vector<LeaseRow> rows() const;

  // Whose holder lives has been seen alive now; one transaction for all. Nothing without leases.
  [[nodiscard]] Result<void> beat();

  // Programs that have held theirs for longer than they may: kTell first, kEnd once they have had
  // kLeaseGrace to go. Each is given once.
  enum class Say { kTell, kEnd };
  std::vector<std::pair<LeaseRow, Say>> late();
  bool limits_programs() const;

 private:
  struct Entry {
    LeaseRow row;
    std::optional<Millis> told;
    bool ended = false;
  };
  Os& os_;
  const Clock& clock_;
  Store& store_;
  mutable Mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace gantry
