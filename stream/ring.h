// The schedule: which streamed piece is loaded next, and into whose place. Pure; the owner locks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "stream/layout.h"

namespace gantry {

// Pieces are used in cyclic order, token after token. The ring runs ahead of use as far as places
// allow and never evicts what is still to be used. A piece used out of order moves the cursor
// there: what was loaded ahead and skipped may be overwritten, nothing else is lost.
class Ring {
 public:
  Ring(std::vector<uint64_t> sizes, RingPlan plan);

  // Only these pieces are used from now on, in this order (ascending at first: all of them). One
  // that is used all the same joins them. Changes nothing that is loaded or on its way.
  void set_order(std::vector<size_t> order);
  const std::vector<size_t>& order() const { return order_; }

  // What to load now; its place is free. Nothing while every next place is still needed.
  std::optional<size_t> next_load();
  // The pieces whose bytes the last next_load() gave up. With a device that computes on by itself,
  // a copy into their place waits for the computing that used them.
  const std::vector<size_t>& evicted() const { return evicted_; }

  void loaded(size_t piece);
  void failed(size_t piece);  // the next next_load() may give it again

  // Its source changed: what is on the device, or on its way there, is of no use.
  void invalidate(size_t piece);

  // The user wants `piece` now. True: it is there. False: load on, and ask again.
  bool acquire(size_t piece);
  void release(size_t piece);

  bool ready(size_t piece) const { return states_[piece] == State::kReady; }
  bool loading(size_t piece) const {
    return states_[piece] == State::kLoading || states_[piece] == State::kStale;
  }
  uint64_t skips() const { return skips_; }
  size_t pieces() const { return sizes_.size(); }
  uint64_t at(size_t piece) const { return plan_.at[piece]; }

 private:
  enum class State : uint8_t { kAbsent, kLoading, kStale, kReady };  // kStale: loading in vain
  bool protected_piece(size_t piece) const;
  size_t distance(size_t piece) const;  // from the cursor, in uses
  bool claim_place(size_t piece);

  std::vector<uint64_t> sizes_;
  RingPlan plan_;
  std::vector<State> states_;
  std::vector<size_t> evicted_;
  std::vector<std::vector<size_t>> neighbours_;  // pieces whose places overlap
  std::vector<bool> used_;
  std::vector<size_t> order_;
  std::vector<size_t> position_;  // of each piece in order_; SIZE_MAX: not in it
  size_t cursor_ = 0;   // position of the piece that is expected to be used next
  size_t ahead_ = 0;    // pieces from the cursor on that are loading or ready for use
  uint64_t skips_ = 0;
};

}  // namespace gantry
