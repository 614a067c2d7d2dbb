// Tests of the expert cache: its promises checked after every step, and what it should learn.
#include "stream/experts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/rng.h"

namespace gantry {
namespace {

std::vector<uint32_t> some(Rng& rng, uint32_t experts, size_t count) {
  std::set<uint32_t> chosen;
  while (chosen.size() < count) {
    // Low numbers far more often than high ones.
    chosen.insert(static_cast<uint32_t>(rng.below(1 + rng.below(experts))));
  }
  return {chosen.begin(), chosen.end()};
}

std::vector<uint32_t> first(uint32_t count) {
  std::vector<uint32_t> all(count);
  for (uint32_t i = 0; i < count; ++i) all[i] = i;
  return all;
}

// Follows an ExpertCache by its answers alone, with a map and full scans.
class Follower {
 public:
  explicit Follower(ExpertCacheShape shape) : shape_(shape), cache_(shape) {}

  void use(uint32_t bank, const std::vector<uint32_t>& used) {
    const auto moves = cache_.use(bank, used);
    ASSERT_TRUE(moves);
    std::vector<uint32_t> wanted, moved;
    for (const uint32_t expert : used) {
      if (!place_of({bank, expert})) wanted.push_back(expert);
    }
    hits_ += used.size() - wanted.size();
    misses_ += wanted.size();
    const auto before = holds_;
    std::set<uint32_t> slots;
    for (const ExpertMove& move : *moves) {
      ASSERT_LT(move.slot, shape_.slots);
      ASSERT_TRUE(slots.insert(move.slot).second) << "two experts in one slot";
      moved.push_back(move.expert);
      holds_[move.slot] = {bank, move.expert};
    }
    ASSERT_EQ(moved, wanted);
    check_victims(bank, used, before);
    check_places();
    ASSERT_EQ(cache_.hits(), hits_);
    ASSERT_EQ(cache_.misses(), misses_);
  }
  void drop(uint32_t bank, uint32_t expert) {
    cache_.drop(bank, expert);
    if (const auto slot = place_of({bank, expert})) holds_.erase(*slot);
    check_places();
  }
  size_t size() const { return holds_.size(); }
  const ExpertCache& cache() const { return cache_; }

 private:
  using Key = std::pair<uint32_t, uint32_t>;

  std::optional<uint32_t> place_of(Key key) const {
    for (const auto& [slot, held] : holds_) {
      if (held == key) return slot;
    }
    return std::nullopt;
  }
  void check_places() const {
    for (uint32_t bank = 0; bank < shape_.banks; ++bank) {
      for (uint32_t expert = 0; expert < shape_.experts; ++expert) {
        ASSERT_EQ(cache_.slot(bank, expert), place_of({bank, expert}));
      }
    }
  }
  // Who went was needed no sooner than who stayed, and only went because nothing was free.
  void check_victims(uint32_t bank, const std::vector<uint32_t>& used,
                     const std::map<uint32_t, Key>& before) const {
    double soonest_gone = 1e300, latest_kept = -1;
    for (const auto& [slot, key] : before) {
      const bool in_use =
          key.first == bank && std::binary_search(used.begin(), used.end(), key.second);
      const double next = cache_.next_use(key.first, key.second);
      if (place_of(key)) {
        if (!in_use) latest_kept = std::max(latest_kept, next);
      } else {
        ASSERT_FALSE(in_use) << "evicted while in use";
        ASSERT_EQ(holds_.size(), shape_.slots) << "evicted although a slot was free";
        soonest_gone = std::min(soonest_gone, next);
      }
    }
    ASSERT_GE(soonest_gone, latest_kept);
  }

  ExpertCacheShape shape_;
  ExpertCache cache_;
  std::map<uint32_t, Key> holds_;  // by slot
  uint64_t hits_ = 0, misses_ = 0;
};

TEST(ExpertCache, KeepsItsPromisesOnRandomTraces) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Rng rng(seed);
    const auto banks = static_cast<uint32_t>(1 + rng.below(6));
    const auto experts = static_cast<uint32_t>(2 + rng.below(15));
    const auto slots = static_cast<uint32_t>(experts + rng.below(banks * experts));
    Follower follower({banks, experts, slots});
    for (uint32_t step = 0; step < 400; ++step) {
      // Mostly in order, sometimes not; mostly few, sometimes all.
      const uint32_t bank =
          static_cast<uint32_t>(rng.below(10) == 0 ? rng.below(banks) : step % banks);
      const size_t count = rng.below(20) == 0 ? experts : 1 + rng.below(std::max(experts / 3, 1u));
      const auto used = some(rng, experts, count);
      ASSERT_NO_FATAL_FAILURE(follower.use(bank, used)) << "seed " << seed << " step " << step;
      if (rng.below(15) == 0) {
        ASSERT_NO_FATAL_FAILURE(follower.drop(bank, used[rng.below(used.size())]));
      }
    }
  }
}

TEST(ExpertCache, ABatchOfAsManyAsThereAreSlotsFitsAndNoneMore) {
  ExpertCache cache({2, 8, 5});
  ASSERT_TRUE(cache.use(0, first(3)));
  const auto before = cache.slot(0, 2);
  const auto refused = cache.use(1, first(6));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("6 experts"));
  EXPECT_FALSE(refused.error().remedy.empty());
  EXPECT_EQ(cache.slot(0, 2), before) << "a refusal changes nothing";
  EXPECT_EQ(cache.misses(), 3u);
  const auto fits = cache.use(1, first(5));
  ASSERT_TRUE(fits);
  EXPECT_EQ(fits->size(), 5u);
  EXPECT_EQ(cache.slot(0, 2), std::nullopt);
}

TEST(ExpertCache, RefusesWhatItsShapeDoesNotHave) {
  ExpertCache cache({2, 8, 8});
  const std::vector<uint32_t> last{7}, beyond{8};
  EXPECT_TRUE(cache.use(1, last));
  EXPECT_EQ(cache.use(2, last).error().code, Code::kInternal);
  EXPECT_EQ(cache.use(1, beyond).error().code, Code::kInternal);
  EXPECT_TRUE(cache.use(1, {}));
  EXPECT_EQ(cache.hits() + cache.misses(), 1u);
}

TEST(ExpertCache, ADroppedExpertIsLoadedAgain) {
  ExpertCache cache({1, 4, 4});
  ASSERT_EQ(cache.use(0, first(2))->size(), 2u);
  cache.drop(0, 1);
  cache.drop(0, 3);  // never was there
  EXPECT_EQ(cache.slot(0, 1), std::nullopt);
  const auto moves = cache.use(0, first(2));
  ASSERT_EQ(moves->size(), 1u);
  EXPECT_EQ((*moves)[0].expert, 1u);
  EXPECT_EQ(cache.use(0, first(4))->size(), 2u) << "every slot is still there";
}

TEST(ExpertCache, IsDeterministic) {
  ExpertCache one({4, 16, 20}), two({4, 16, 20});
  Rng rng(5);
  for (uint32_t step = 0; step < 2000; ++step) {
    const auto used = some(rng, 16, 3);
    const auto a = one.use(step % 4, used), b = two.use(step % 4, used);
    ASSERT_EQ(a->size(), b->size());
    for (size_t i = 0; i < a->size(); ++i) ASSERT_EQ((*a)[i].slot, (*b)[i].slot);
  }
}

// Cyclic access one larger than the cache: where least-recently-used never hits.
TEST(ExpertCache, CyclesDoNotThrash) {
  ExpertCache cache({10, 4, 30});
  for (uint32_t step = 0; step < 1000; ++step) {
    ASSERT_TRUE(cache.use(step % 10, first(4)));
  }
  EXPECT_GT(static_cast<double>(cache.hits()) / 4000, 0.7) << "of 0.75";
}

TEST(ExpertCache, LearnsWhoIsPopularAndForgetsIt) {
  ExpertCache cache({2, 32, 16});
  Rng rng(3);
  const auto play = [&](uint32_t popular, uint32_t turns) {
    uint64_t found = 0;
    for (uint32_t turn = 0; turn < turns; ++turn) {
      for (uint32_t bank = 0; bank < 2; ++bank) {
        std::set<uint32_t> used{popular, popular + 1, popular + 2, popular + 3};
        while (used.size() < 6) used.insert(static_cast<uint32_t>(rng.below(32)));
        for (uint32_t i = 0; i < 4; ++i) found += cache.slot(bank, popular + i).has_value();
        const std::vector<uint32_t> ascending(used.begin(), used.end());
        EXPECT_TRUE(cache.use(bank, ascending));
      }
    }
    return static_cast<double>(found) / (8.0 * turns);
  };
  play(0, 50);
  EXPECT_EQ(play(0, 200), 1.0);
  play(20, 150);
  EXPECT_EQ(play(20, 200), 1.0);
}

TEST(ExpertCache, APromptDoesNotFlushWhatDecodingKeepsHot) {
  ExpertCache cache({8, 32, 96});
  const std::vector<uint32_t> hot{3, 9, 11, 17};
  Rng rng(1);
  for (uint32_t turn = 0; turn < 100; ++turn) {
    for (uint32_t bank = 0; bank < 8; ++bank) {
      std::set<uint32_t> used(hot.begin(), hot.end());
      used.insert(static_cast<uint32_t>(rng.below(32)));
      const std::vector<uint32_t> ascending(used.begin(), used.end());
      ASSERT_TRUE(cache.use(bank, ascending));
    }
  }
  for (const uint32_t count : {32u, 31u}) {
    for (uint32_t bank = 0; bank < 8; ++bank) ASSERT_TRUE(cache.use(bank, first(count)));
    for (uint32_t bank = 0; bank < 8; ++bank) {
      for (const uint32_t expert : hot) EXPECT_TRUE(cache.slot(bank, expert)) << bank;
    }
  }
}

TEST(ExpertCache, ABatchOfManyTellsLittleAndOneOfAllNothing) {
  ExpertCache cache({1, 32, 32});
  for (uint32_t turn = 0; turn < 100; ++turn) {
    const std::vector<uint32_t> used{1, 2, 4 + turn / 3 % 20};
    ASSERT_TRUE(cache.use(0, used));
  }
  const double popular = cache.next_use(0, 1), rare = cache.next_use(0, 30);
  ASSERT_GT(rare, 10 * popular);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cache.use(0, first(32)));
  EXPECT_EQ(cache.next_use(0, 1), popular);
  EXPECT_EQ(cache.next_use(0, 30), rare);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(cache.use(0, first(31)));
  EXPECT_GT(cache.next_use(0, 30), 10 * cache.next_use(0, 1));
}

// Among equals the bank whose turn has just passed is the farthest in the future.
TEST(ExpertCache, TheBankThatComesNextIsSpared) {
  ExpertCache cache({3, 64, 64});
  for (uint32_t bank = 0; bank < 3; ++bank) {
    const std::vector<uint32_t> same{5};
    ASSERT_TRUE(cache.use(bank, same));
  }
  EXPECT_LT(cache.next_use(0, 5), cache.next_use(1, 5));
  EXPECT_LT(cache.next_use(1, 5), cache.next_use(2, 5));
}

}  // namespace
}  // namespace gantry
