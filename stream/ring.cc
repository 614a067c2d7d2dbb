// The cyclic schedule of streamed pieces.
#include "stream/ring.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace gantry {

Ring::Ring(std::vector<uint64_t> sizes, RingPlan plan)
    : sizes_(std::move(sizes)),
      plan_(std::move(plan)),
      states_(sizes_.size(), State::kAbsent),
      neighbours_(sizes_.size()),
      used_(sizes_.size(), false) {
  std::vector<size_t> all(sizes_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  set_order(std::move(all));
  const auto overlap = [&](size_t a, size_t b) {
    return plan_.at[a] < plan_.at[b] + sizes_[b] && plan_.at[b] < plan_.at[a] + sizes_[a];
  };
  for (size_t a = 0; a < sizes_.size(); a++) {
    for (size_t b = 0; b < sizes_.size(); b++) {
      if (a != b && overlap(a, b)) neighbours_[a].push_back(b);
    }
  }
}

void Ring::set_order(std::vector<size_t> order) {
  order_ = std::move(order);
  position_.assign(sizes_.size(), SIZE_MAX);
  for (size_t i = 0; i < order_.size(); i++) position_[order_[i]] = i;
  cursor_ = 0;
  ahead_ = 0;
}

size_t Ring::distance(size_t piece) const {
  return (position_[piece] + order_.size() - cursor_) % order_.size();
}

bool Ring::protected_piece(size_t piece) const {
  if (states_[piece] == State::kAbsent) return false;
  if (states_[piece] != State::kReady || used_[piece]) return true;  // being written, or read
  return position_[piece] != SIZE_MAX && distance(piece) < ahead_;
}

bool Ring::claim_place(size_t piece) {
  for (const size_t other : neighbours_[piece]) {
    if (protected_piece(other)) return false;
  }
  evicted_.clear();
  for (const size_t other : neighbours_[piece]) {
    if (states_[other] == State::kReady) {
      states_[other] = State::kAbsent;
      evicted_.push_back(other);
    }
  }
  return true;
}

std::optional<size_t> Ring::next_load() {
  while (ahead_ < order_.size()) {
    const size_t piece = order_[(cursor_ + ahead_) % order_.size()];
    if (states_[piece] == State::kAbsent) {
      if (!claim_place(piece)) return std::nullopt;
      states_[piece] = State::kLoading;
      ahead_++;
      return piece;
    }
    ahead_++;  // still there from the round before, or on its way
  }
  return std::nullopt;
}

void Ring::loaded(size_t piece) {
  if (states_[piece] == State::kStale) return failed(piece);
  states_[piece] = State::kReady;
}

void Ring::invalidate(size_t piece) {
  if (states_[piece] == State::kLoading) states_[piece] = State::kStale;
  if (states_[piece] != State::kReady || used_[piece]) return;
  states_[piece] = State::kAbsent;
  if (position_[piece] != SIZE_MAX) ahead_ = std::min(ahead_, distance(piece));
}

void Ring::failed(size_t piece) {
  states_[piece] = State::kAbsent;
  if (position_[piece] != SIZE_MAX) ahead_ = std::min(ahead_, distance(piece));
}

bool Ring::acquire(size_t piece) {
  if (used_[piece]) return true;
  if (position_[piece] == SIZE_MAX) {
    std::vector<size_t> order = order_;
    order.push_back(piece);
    set_order(std::move(order));
  }
  if (position_[piece] != cursor_) {
    const size_t skipped = distance(piece);
    ahead_ = skipped < ahead_ ? ahead_ - skipped : 0;
    cursor_ = position_[piece];
    skips_++;
  }
  if (states_[piece] != State::kReady) return false;
  if (ahead_ == 0) ahead_ = 1;  // ready since an earlier round, and not looked at yet
  used_[piece] = true;
  cursor_ = (cursor_ + 1) % order_.size();
  ahead_--;
  return true;
}

void Ring::release(size_t piece) { used_[piece] = false; }

}  // namespace gantry
