// Random households and small machines for this room's tests.
#pragma once

#include <string>
#include <vector>

#include "plan/example.h"

namespace gantry {

// A household of few small models with every kind of wish, for machines of little memory.
inline Demand random_household(Rng& rng) {
  Demand demand;
  const uint64_t count = 1 + rng.below(3);
  for (uint64_t i = 0; i < count; ++i) {
    const auto layers = static_cast<uint32_t>(1 + rng.below(rng.below(4) == 0 ? 16 : 5));
    Wish wish = rng.below(6) == 0 ? wish_for("", whisper_card())
                                  : wish_for("", llama_card({512, layers, 8, 4, 2048, 8000, 4096}));
    wish.name = "m" + std::to_string(i);
    wish.priority = 0.5 * double(1 + rng.below(4));
    wish.usage.share = 0.25 * double(1 + rng.below(8));
    if (rng.below(3) == 0) wish.latency = Latency::kBatch;
    if (rng.below(3) == 0) wish.levers.caches = {CacheType::kQ8_0, CacheType::kQ4_0};
    if (rng.below(4) == 0) wish.levers.context_least = 512;
    wish.levers.smaller_batch = rng.below(4) == 0;
    wish.levers.cpu = rng.below(6) != 0;
    if (rng.below(6) == 0) wish.device = rng.below(2) == 0 ? "cpu" : "gpu0";
    if (rng.below(5) == 0) wish.cap = Budget{std::nullopt, 0.25 * double(1 + rng.below(4))};
    if (rng.below(5) == 0 && wish.engine == EngineKind::kLlama) {
      wish.alternatives = {{"small", llama_card({128, 2, 4, 2, 256, 1000, 4096}), std::nullopt}};
    }
    if (rng.below(3) == 0) wish.stream.streaming = Streaming::kNever;
    if (rng.below(3) == 0) {
      for (const Shortage word : {Shortage::kShrink, Shortage::kWait, Shortage::kCpu,
                                  Shortage::kCloud}) {
        const auto at = static_cast<ptrdiff_t>(rng.below(wish.shortage.size() + 1));
        if (rng.below(2) == 0) wish.shortage.insert(wish.shortage.begin() + at, word);
      }
    }
    demand.wishes.push_back(std::move(wish));
  }
  if (count > 1 && rng.below(4) == 0) demand.together = {{"m0", "m1"}};
  if (count > 1 && rng.below(4) == 0) demand.apart = {{"m0", "m" + std::to_string(count - 1)}};
  if (rng.below(5) == 0) demand.stay = {"m" + std::to_string(rng.below(count))};
  if (rng.below(4) == 0) demand.prefer = Prefer::kEnergy;
  if (rng.below(5) == 0) demand.reserve = Budget{MiB(rng.below(280)), std::nullopt};
  return demand;
}

inline Machine random_small_machine(Rng& rng) {
  std::vector<Bytes> cards;
  for (uint64_t i = rng.below(4); i > 0; --i) cards.push_back(Bytes{MiB(306 + rng.below(280))});
  return machine_with(Bytes{MiB(40 + rng.below(900))}, cards);
}

}  // namespace gantry
