// The rules of the line.
#include "foreman/line.h"

#include <algorithm>
#include <map>

namespace gantry {

namespace {

// Bytes by device that are free, or will be without further doing, and who is there then.
class Room {
 public:
  explicit Room(const Ledger& ledger) {
    for (const std::string& device : ledger.devices()) {
      free_[device] = ledger.room(device);
      there_[device] = ledger.held(device);
      if (ledger.elsewhere(device) > Bytes{}) there_[device].push_back({device, Bytes{1}});
    }
  }
  bool holds(const Shares& shares) const {
    return std::ranges::all_of(shares, [&](const Share& share) {
      const auto free = free_.find(share.device);
      return free != free_.end() && on_device(shares, share.device) <= free->second &&
             std::ranges::none_of(there_.at(share.device),
                                  [&](const Share& other) { return clash(share, other); });
    });
  }
  // Whether any device that `wanted` lacks bytes or quiet on would gain from `offered`.
  bool helps(const Shares& wanted, const Shares& offered) const {
    return std::ranges::any_of(wanted, [&](const Share& share) {
      const auto free = free_.find(share.device);
      if (free == free_.end()) return false;
      const bool lacks = on_device(wanted, share.device) > free->second;
      return (lacks && on_device(offered, share.device) > Bytes{}) ||
             std::ranges::any_of(offered, [&](const Share& other) { return clash(share, other); });
    });
  }
  void give(const Shares& shares) {
    for (const Share& share : shares) {
      free_[share.device] += share.bytes;
      std::vector<Share>& there = there_[share.device];
      const auto same = std::ranges::find(there, share);
      if (same != there.end()) there.erase(same);
    }
  }
  void take(const Shares& shares) {
    for (const Share& share : shares) {
      free_[share.device] -= share.bytes;
      there_[share.device].push_back(share);
    }
  }

 private:
  std::map<std::string, Bytes> free_;
  std::map<std::string, std::vector<Share>> there_;
};

class Line {
 public:
  Line(std::span<const Stall> stalls, const Ledger& ledger)
      : stalls_(stalls), room_(ledger), seats_(stalls.size()) {
    for (size_t i = 0; i < stalls.size(); ++i) {
      seats_[i].state = stalls[i].state;
      seats_[i].sessions = stalls[i].sessions;
      seats_[i].leaving = stalls[i].draining || stalls[i].state == ModelState::kStopping;
      if (seats_[i].leaving && idle(i)) unload(i);
    }
  }

  void look_at(const Waiter& waiter) {
    if (waiter.stall == kNoStall) {
      if (take_room(waiter.shares, kNoStall)) moves_.serve.push_back(waiter.id);
      return;
    }
    Seat& seat = seats_[waiter.stall];
    const Stall& stall = stalls_[waiter.stall];
    if (seat.state == ModelState::kUnloaded) {
      if (stall.resting) return;
      if (!take_room(stall.shares, waiter.stall)) return;
      seat.state = ModelState::kLoading;
      moves_.load.push_back(waiter.stall);
    }
    if (seat.leaving || seat.state == ModelState::kStopping) {
      // It comes back for this waiter once it has been gone; until then its room is spoken for.
      (void)take_room(stall.shares, waiter.stall);
      return;
    }
    seat.wanted = true;
    if (seat.state == ModelState::kReady && seat.sessions < stall.slots) {
      ++seat.sessions;
      moves_.serve.push_back(waiter.id);
    }
  }

  Moves moves() { return std::move(moves_); }

 private:
  struct Seat {
    ModelState state = ModelState::kUnloaded;
    uint32_t sessions = 0;  // with those served by this decision
    bool wanted = false;    // by a waiter that was looked at earlier
    bool leaving = false;   // takes no session any more
  };

  bool there(size_t i) const {
    return seats_[i].state == ModelState::kReady || seats_[i].state == ModelState::kLoading;
  }
  bool idle(size_t i) const { return there(i) && seats_[i].sessions == 0 && !seats_[i].wanted; }

  void unload(size_t i) {
    seats_[i].state = ModelState::kStopping;
    seats_[i].leaving = true;
    moves_.unload.push_back(i);
  }

  bool take_room(const Shares& shares, size_t stall) {
    if (blocked_) return false;
    if (room_.holds(shares)) {
      // A model that is on its way out still holds its own bytes in the ledger.
      const bool going = stall != kNoStall && seats_[stall].leaving;
      if (!going) {
        room_.take(shares);
        return true;
      }
    }
    blocked_ = true;
    make_room(shares);
    return false;
  }

  // Chooses who must leave for `shares`: idle before used, then least recently served.
  void make_room(const Shares& shares) {
    Room room = room_;
    for (size_t i = 0; i < seats_.size(); ++i) {
      if (seats_[i].state == ModelState::kStopping || (seats_[i].leaving && there(i))) {
        room.give(stalls_[i].shares);
      }
    }
    std::vector<size_t> candidates;
    for (size_t i = 0; i < seats_.size(); ++i) {
      if (there(i) && !seats_[i].leaving) candidates.push_back(i);
    }
    std::ranges::stable_sort(candidates, [&](size_t a, size_t b) {
      if (idle(a) != idle(b)) return idle(a);
      return stalls_[a].last_served < stalls_[b].last_served;
    });
    std::vector<size_t> victims;
    for (const size_t i : candidates) {
      if (room.holds(shares)) break;
      if (!room.helps(shares, stalls_[i].shares)) continue;
      room.give(stalls_[i].shares);
      victims.push_back(i);
    }
    // A later, larger victim can make an earlier one unnecessary; the most recently served stays.
    for (size_t k = victims.size(); k-- > 0;) {
      Room without = room;
      without.take(stalls_[victims[k]].shares);
      if (without.holds(shares)) {
        room = without;
        victims.erase(victims.begin() + static_cast<long>(k));
      }
    }
    for (const size_t i : victims) {
      seats_[i].leaving = true;
      if (idle(i)) unload(i);
    }
  }

  std::span<const Stall> stalls_;
  Room room_;
  std::vector<Seat> seats_;
  bool blocked_ = false;
  Moves moves_;
};

}  // namespace

Moves decide(std::span<const Stall> stalls, std::span<const Waiter> waiters, const Ledger& ledger) {
  std::vector<const Waiter*> order;
  for (const Waiter& waiter : waiters) order.push_back(&waiter);
  std::ranges::sort(order, [](const Waiter* a, const Waiter* b) {
    if (a->priority != b->priority) return a->priority > b->priority;
    return a->arrival < b->arrival;
  });
  Line line(stalls, ledger);
  for (const Waiter* waiter : order) line.look_at(*waiter);
  return line.moves();
}

}  // namespace gantry
