// The line's rules one by one, then a simulation of random worlds with its own checks.
#include "foreman/line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"

namespace gantry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Shares cpu(uint64_t bytes) { return {{"cpu", Bytes{bytes}}}; }

// A ledger that agrees with the stalls.
struct World {
  std::vector<Stall> stalls;
  std::vector<Waiter> waiters;
  Ledger ledger{cpu(100)};

  size_t stall(ModelState state, uint64_t bytes, uint32_t sessions = 0, uint64_t served = 0) {
    stalls.push_back({state, cpu(bytes), sessions, 1, served, false});
    if (state != ModelState::kUnloaded) {
      EXPECT_TRUE(ledger.grant(static_cast<int64_t>(stalls.size()), cpu(bytes)));
    }
    return stalls.size() - 1;
  }
  void wait(uint64_t id, size_t stall, int priority = 0) {
    waiters.push_back({id, stall, {}, priority, id});
  }
  void wait_bytes(uint64_t id, uint64_t bytes) {
    waiters.push_back({id, kNoStall, cpu(bytes), 0, id});
  }
  Moves decide() const { return gantry::decide(stalls, waiters, ledger); }
};

constexpr ModelState kUnloaded = ModelState::kUnloaded, kLoading = ModelState::kLoading,
                     kReady = ModelState::kReady, kStopping = ModelState::kStopping;

TEST(Line, LoadsWhatIsAskedForWhereThereIsRoom) {
  World w;
  w.stall(kUnloaded, 60);
  w.stall(kUnloaded, 40);
  w.wait(1, 0);
  w.wait(2, 1);
  w.wait(3, 0);
  const Moves moves = w.decide();
  EXPECT_THAT(moves.load, ElementsAre(0, 1));
  EXPECT_THAT(moves.serve, IsEmpty());
  EXPECT_THAT(moves.unload, IsEmpty());
}

TEST(Line, ThoseWhoAreNeverBesideTheirLikeLeaveForThem) {
  World w;
  w.stalls = {{kReady, {{"cpu", Bytes{10}, {"vision"}, {"language"}}}, 0, 1, 5},
              {kReady, {{"cpu", Bytes{10}}}, 0, 1, 1},
              {kUnloaded, {{"cpu", Bytes{10}, {"language"}, {"vision"}}}}};
  ASSERT_TRUE(w.ledger.grant(1, w.stalls[0].shares));
  ASSERT_TRUE(w.ledger.grant(2, w.stalls[1].shares));
  w.wait(1, 2);
  Moves moves = w.decide();
  EXPECT_THAT(moves.load, IsEmpty());
  EXPECT_THAT(moves.unload, ElementsAre(0));  // there are bytes for all three
  w.stalls[0].sessions = 1;
  moves = w.decide();
  EXPECT_THAT(moves.unload, IsEmpty());
  EXPECT_THAT(moves.load, IsEmpty());
  w.stalls[0].state = kUnloaded;
  ASSERT_TRUE(w.ledger.release(1));
  w.wait(2, 0);
  moves = w.decide();
  EXPECT_THAT(moves.load, ElementsAre(2));  // and not both in one go
  EXPECT_THAT(moves.unload, IsEmpty());
}

TEST(Line, TheWholeDeviceIsForOne) {
  World w;
  w.stalls = {{kUnloaded, {{"cpu", Bytes{10}, {}, {}, true}}}, {kReady, cpu(10), 0, 1, 1}};
  ASSERT_TRUE(w.ledger.grant(2, cpu(10)));
  w.wait(1, 0);
  w.wait_bytes(2, 5);
  Moves moves = w.decide();
  EXPECT_THAT(moves.unload, ElementsAre(1));
  EXPECT_THAT(moves.serve, IsEmpty());
  ASSERT_TRUE(w.ledger.release(2));
  w.stalls[1].state = kUnloaded;
  moves = w.decide();
  EXPECT_THAT(moves.load, ElementsAre(0));
  EXPECT_THAT(moves.serve, IsEmpty());
}

TEST(Line, ServesUpToTheSlots) {
  World w;
  w.stall(kReady, 60, 1);
  w.stalls[0].slots = 3;
  for (uint64_t id = 1; id <= 3; ++id) w.wait(id, 0);
  EXPECT_THAT(w.decide().serve, ElementsAre(1, 2));
}

TEST(Line, PriorityThenArrival) {
  World w;
  w.stall(kReady, 60);
  w.wait(1, 0);
  w.wait(2, 0, 7);
  w.wait(3, 0, 7);
  EXPECT_THAT(w.decide().serve, ElementsAre(2));
}

TEST(Line, UnloadsTheLeastRecentlyServedIdleModelOnly) {
  World w;
  w.stall(kReady, 30, 0, 5);
  w.stall(kReady, 30, 0, 2);
  w.stall(kReady, 30, 0, 9);
  w.stall(kUnloaded, 40);
  w.wait(1, 3);
  const Moves moves = w.decide();
  EXPECT_THAT(moves.unload, ElementsAre(1));
  EXPECT_THAT(moves.load, IsEmpty());  // not before the bytes are back
}

TEST(Line, KeepsWhatOneLargerVictimMakesUnnecessary) {
  World w;
  w.stall(kReady, 10, 0, 1);
  w.stall(kReady, 80, 0, 2);
  w.stall(kUnloaded, 85);
  w.wait(1, 2);
  EXPECT_THAT(w.decide().unload, ElementsAre(1));
}

TEST(Line, AUsedModelIsDrainedNotKilled) {
  World w;
  w.stall(kReady, 60, 1, 1);
  w.stall(kUnloaded, 60);
  w.wait(1, 1);
  w.wait(2, 0);  // newer, for the model that must leave
  w.stalls[0].slots = 4;
  const Moves moves = w.decide();
  EXPECT_THAT(moves.serve, IsEmpty());
  EXPECT_THAT(moves.unload, IsEmpty());
  w.stalls[0].sessions = 0;
  EXPECT_THAT(w.decide().unload, ElementsAre(0));
}

TEST(Line, OlderRequestsAreServedBeforeTheirModelLeaves) {
  World w;
  w.stall(kReady, 60, 1, 1);
  w.stall(kUnloaded, 60);
  w.wait(1, 0);  // full now, but first in line
  w.wait(2, 1);
  EXPECT_THAT(w.decide().unload, IsEmpty());
  w.stalls[0].sessions = 0;
  EXPECT_THAT(w.decide().serve, ElementsAre(1));
  EXPECT_THAT(w.decide().unload, IsEmpty());
}

TEST(Line, NobodyTakesBytesBehindAWaiterWithoutRoom) {
  World w;
  w.stall(kReady, 60, 1, 1);
  w.stall(kUnloaded, 80);
  w.stall(kUnloaded, 10);
  w.stall(kReady, 10, 0, 2);
  w.wait(1, 1);
  w.wait(2, 2);        // would fit, but takes bytes
  w.wait_bytes(3, 5);  // likewise
  w.wait(4, 3);        // takes no bytes, and its model may stay
  const Moves moves = w.decide();
  EXPECT_THAT(moves.load, IsEmpty());
  EXPECT_THAT(moves.serve, ElementsAre(4));
}

TEST(Line, ComingBytesAreCountedOnce) {
  World w;
  w.stall(kStopping, 60);
  w.stall(kReady, 40, 0, 1);
  w.stall(kUnloaded, 60);
  w.wait(1, 2);
  const Moves moves = w.decide();
  EXPECT_THAT(moves.unload, IsEmpty());
  EXPECT_THAT(moves.load, IsEmpty());
}

TEST(Line, ADrainedModelComesBackForItsWaiters) {
  World w;
  w.stall(kReady, 60, 0, 1);
  w.stalls[0].draining = true;
  w.stall(kUnloaded, 50);
  w.wait(1, 0);
  w.wait(2, 1);
  Moves moves = w.decide();
  EXPECT_THAT(moves.unload, ElementsAre(0));
  EXPECT_THAT(moves.serve, IsEmpty());
  EXPECT_THAT(moves.load, IsEmpty());
  w.stalls[0] = {kUnloaded, cpu(60), 0, 1, 1, false};
  ASSERT_TRUE(w.ledger.release(1));
  EXPECT_THAT(w.decide().load, ElementsAre(0));
}

TEST(Line, ALoadThatNobodyWantsGivesWay) {
  World w;
  w.stall(kLoading, 60);
  w.stall(kUnloaded, 60);
  w.wait(1, 1);
  EXPECT_THAT(w.decide().unload, ElementsAre(0));
  w.waiters.clear();
  w.wait(1, 0);
  w.wait(2, 1);
  EXPECT_THAT(w.decide().unload, IsEmpty());
}

TEST(Line, BytesAloneMakeRoomToo) {
  World w;
  w.stall(kReady, 95, 0, 1);
  w.wait_bytes(1, 10);
  EXPECT_THAT(w.decide().unload, ElementsAre(0));
  w.waiters.clear();
  w.wait_bytes(2, 5);
  EXPECT_THAT(w.decide().serve, ElementsAre(2));
}

TEST(Line, VictimsMustHoldTheDeviceThatIsShort) {
  World w;
  w.ledger = Ledger({{"cpu", Bytes{100}}, {"gpu0", Bytes{50}}});
  w.stalls.push_back({kReady, cpu(10), 0, 1, 1, false});
  w.stalls.push_back({kReady, {{"gpu0", Bytes{40}}}, 0, 1, 2, false});
  w.stalls.push_back({kUnloaded, {{"gpu0", Bytes{20}}}, 0, 1, 0, false});
  ASSERT_TRUE(w.ledger.grant(1, w.stalls[0].shares));
  ASSERT_TRUE(w.ledger.grant(2, w.stalls[1].shares));
  w.wait(1, 2);
  EXPECT_THAT(w.decide().unload, ElementsAre(1));
}

// A world in steps: loads, stops and sessions take a few, requests come at random.
class Simulation {
 public:
  explicit Simulation(uint64_t seed) : rng_(seed) {
    const size_t models = 2 + rng_.below(5);
    for (size_t i = 0; i < models; ++i) {
      Stall stall;
      stall.shares = cpu(1 + rng_.below(100));
      stall.slots = 1 + static_cast<uint32_t>(rng_.below(3));
      world_.stalls.push_back(stall);
    }
    timers_.resize(models);
  }

  void run() {
    for (now_ = 0; now_ < 400 && !testing::Test::HasFatalFailure(); ++now_) {
      if (now_ < 300 && rng_.below(2) == 0) arrive();
      pass_time();
      settle();
      check_oldest();
    }
    // At worst each of some 170 requests takes a stop, a load and a session of its own.
    for (; now_ < 5000 && !world_.waiters.empty(); ++now_) {
      pass_time();
      settle();
    }
    EXPECT_TRUE(world_.waiters.empty());
  }

 private:
  struct Use {
    uint64_t until;
    size_t stall;
    int64_t token;
  };

  void arrive() {
    if (rng_.below(6) == 0) {
      world_.wait_bytes(++ids_, 1 + rng_.below(100));
    } else {
      world_.wait(++ids_, rng_.below(world_.stalls.size()));
    }
  }

  void pass_time() {
    for (auto use = uses_.begin(); use != uses_.end();) {
      if (use->until > now_) {
        ++use;
        continue;
      }
      if (use->stall == kNoStall) {
        ASSERT_TRUE(world_.ledger.release(use->token));
      } else {
        --world_.stalls[use->stall].sessions;
      }
      use = uses_.erase(use);
    }
    for (size_t i = 0; i < world_.stalls.size(); ++i) {
      Stall& stall = world_.stalls[i];
      if (timers_[i] > now_) continue;
      if (stall.state == kLoading) stall.state = kReady;
      if (stall.state == kStopping) {
        ASSERT_TRUE(world_.ledger.release(static_cast<int64_t>(i)));
        stall.state = kUnloaded;
      }
    }
  }

  // Carries out decisions until there are none left, as the scheduler does.
  void settle() {
    for (int turn = 0; turn < 100; ++turn) {
      const Moves moves = world_.decide();
      if (moves.serve.empty() && moves.load.empty() && moves.unload.empty()) return;
      for (const size_t i : moves.unload) {
        ASSERT_EQ(world_.stalls[i].sessions, 0U);
        world_.stalls[i].state = kStopping;
        timers_[i] = now_ + 1 + rng_.below(3);
      }
      for (const size_t i : moves.load) {
        ASSERT_EQ(world_.stalls[i].state, kUnloaded);
        ASSERT_TRUE(world_.ledger.grant(static_cast<int64_t>(i), world_.stalls[i].shares));
        world_.stalls[i].state = kLoading;
        timers_[i] = now_ + 1 + rng_.below(3);
      }
      for (const uint64_t id : moves.serve) serve(id);
    }
    FAIL() << "decisions do not settle";
  }

  void serve(uint64_t id) {
    auto waiter = std::ranges::find(world_.waiters, id, &Waiter::id);
    ASSERT_NE(waiter, world_.waiters.end());
    const Use use{now_ + 1 + rng_.below(5), waiter->stall, static_cast<int64_t>(1000 + id)};
    if (waiter->stall == kNoStall) {
      ASSERT_TRUE(world_.ledger.grant(use.token, waiter->shares));
    } else {
      Stall& stall = world_.stalls[waiter->stall];
      ASSERT_EQ(stall.state, kReady);
      ASSERT_LT(stall.sessions, stall.slots);
      ++stall.sessions;
      stall.last_served = id;
    }
    uses_.push_back(use);
    world_.waiters.erase(waiter);
  }

  // Whoever is oldest is served in bounded time: sessions last 5 steps at most, a stop and a load 3
  // each, and what it waits for may have begun just before it became the oldest.
  void check_oldest() {
    if (world_.waiters.empty()) return;
    if (world_.waiters.front().id != oldest_) {
      oldest_ = world_.waiters.front().id;
      oldest_since_ = now_;
    }
    ASSERT_LE(now_ - oldest_since_, 20U) << "request " << oldest_ << " starves";
  }

  Rng rng_;
  World world_;
  std::vector<uint64_t> timers_;
  std::vector<Use> uses_;
  uint64_t now_ = 0, ids_ = 0, oldest_ = 0, oldest_since_ = 0;
};

TEST(Line, RandomWorldsNeverOverbookAndNeverStarve) {
  const uint64_t first = Rng::from_system().next();
  for (uint64_t i = 0; i < 2000; ++i) {
    SCOPED_TRACE(testing::Message() << "seed " << first + i);
    Simulation(first + i).run();
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

}  // namespace
}  // namespace gantry
