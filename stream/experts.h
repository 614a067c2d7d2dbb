// Which experts stay on the device: slots, and who gives way. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry {

struct ExpertCacheShape {
  uint32_t banks = 0;    // layers with experts
  uint32_t experts = 0;  // of the largest of them
  uint32_t slots = 0;
};

// An expert to load, and where; what was there before is gone.
struct ExpertMove {
  uint32_t expert = 0;
  uint32_t slot = 0;
};

// Evicts the expert whose next use is expected last. An expert can be needed only when its bank's
// turn comes, once a pass over all banks: with probability p, learned from its past, it is expected
// after the passes 1/p - 1 and the turns until then. So nothing leaves for being old (the least
// recently used bank is the very next one), and a prompt's batch, which uses nearly everything once
// and therefore tells little, passes through the slots of the improbable. Deterministic.
// Cost: O(experts log experts) a call, and O(banks) for each eviction.
class ExpertCache {
 public:
  explicit ExpertCache(ExpertCacheShape shape);

  // A batch uses these experts of one bank (ascending, each once): afterwards all of them have
  // slots. Returns those that were not there. kDoesNotFit, with nothing changed, when there are
  // fewer slots than experts in the batch.
  [[nodiscard]] Result<std::vector<ExpertMove>> use(uint32_t bank, std::span<const uint32_t> used);
  // Its load failed: the slot holds nothing.
  void drop(uint32_t bank, uint32_t expert);
  std::optional<uint32_t> slot(uint32_t bank, uint32_t expert) const;

  // Turns of banks until the next use that is expected of an expert: what eviction goes by.
  double next_use(uint32_t bank, uint32_t expert) const;
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  static constexpr uint32_t kNoSlot = UINT32_MAX;
  static constexpr double kChanceMin = 1e-6;  // keeps 1/chance finite
  // What is known of an expert, in turns of its bank.
  struct Past {
    std::array<double, 3> averages{};  // used (1) or not (0): last turn, fast and slow average
    double chance = kChanceMin;        // of being used in the next turn
    uint64_t used = 0;                 // step of its last use
    uint32_t slot = kNoSlot;
  };
  struct Bank {
    std::vector<uint32_t> present;  // experts in slots, the most probable first
    uint64_t turns = 0;             // that told something
    uint64_t step = 0;              // of the last turn
  };

  size_t index(uint32_t bank, uint32_t expert) const {
    return static_cast<size_t>(bank) * shape_.experts + expert;
  }
  Past& past(uint32_t bank, uint32_t expert) { return pasts_[index(bank, expert)]; }
  void learn(uint32_t bank, size_t used);
  uint32_t evict();

  ExpertCacheShape shape_;
  std::vector<Past> pasts_;  // by bank and expert
  std::vector<Bank> banks_;
  std::vector<uint32_t> free_;
  std::array<double, 3> weights_{0, 0, 1};  // of the averages in the chance
  uint64_t step_ = 0;  // calls of use()
  uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace gantry
