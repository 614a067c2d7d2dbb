// See policies.h. All but ours are one replay with a different order of eviction.
#include "bench/experts/policies.h"

#include <chrono>
#include <set>
#include <utility>

#include "stream/experts.h"

namespace gantry::bench {

namespace {

using Clock = std::chrono::steady_clock;

void count(Score& score, const Use& use, size_t misses) {
  if (use.prompt) {
    score.prompt_misses += misses;
  } else {
    score.misses += misses;
    score.hits += use.experts.size() - misses;
  }
}

// Keeps slots ordered by worth; who is worth least goes.
class Kept {
 public:
  Kept(const Trace& trace, uint32_t slots)
      : experts_(trace.recipe.experts),
        slots_(slots),
        worth_(size_t{trace.recipe.layers} * experts_),
        inside_(worth_.size()) {}

  size_t key(uint32_t layer, uint32_t expert) const { return size_t{layer} * experts_ + expert; }
  void set(size_t key, double worth) {
    if (inside_[key]) order_.erase({worth_[key], key});
    worth_[key] = worth;
    if (inside_[key]) order_.insert({worth, key});
  }
  double worth(size_t key) const { return worth_[key]; }

  // Loads what is missing of a use and returns how much that was. Its own experts are out of the
  // order meanwhile: none of them is evicted.
  size_t load(const Use& use) {
    size_t misses = 0;
    for (const uint32_t expert : use.experts) {
      const size_t k = key(use.layer, expert);
      if (inside_[k]) order_.erase({worth_[k], k});
    }
    for (const uint32_t expert : use.experts) {
      const size_t k = key(use.layer, expert);
      if (inside_[k]) continue;
      ++misses;
      if (filled_ < slots_) {
        ++filled_;
      } else {
        inside_[order_.begin()->second] = false;
        order_.erase(order_.begin());
      }
      inside_[k] = true;
    }
    for (const uint32_t expert : use.experts) {
      const size_t k = key(use.layer, expert);
      order_.insert({worth_[k], k});
    }
    return misses;
  }

 private:
  uint32_t experts_, slots_, filled_ = 0;
  std::vector<double> worth_;
  std::vector<bool> inside_;
  std::set<std::pair<double, size_t>> order_;
};

// `worth(kept, use number)` sets the worth of whatever the use changes, before it is loaded.
template <class Worth>
Score replay(const Trace& trace, uint32_t slots, Worth worth) {
  Score score;
  Kept kept(trace, slots);
  const auto begin = Clock::now();
  for (size_t i = 0; i < trace.uses.size(); ++i) {
    worth(kept, i);
    count(score, trace.uses[i], kept.load(trace.uses[i]));
  }
  score.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return score;
}

}  // namespace

Score replay_gantry(const Trace& trace, uint32_t slots) {
  Score score;
  ExpertCache cache({trace.recipe.layers, trace.recipe.experts, slots});
  const auto begin = Clock::now();
  for (const Use& use : trace.uses) {
    const auto moves = cache.use(use.layer, use.experts);
    count(score, use, moves ? moves->size() : use.experts.size());
  }
  score.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return score;
}

Score replay_lru(const Trace& trace, uint32_t slots) {
  return replay(trace, slots, [&](Kept& kept, size_t i) {
    const Use& use = trace.uses[i];
    for (const uint32_t expert : use.experts) {
      kept.set(kept.key(use.layer, expert), static_cast<double>(i));
    }
  });
}

Score replay_lfu(const Trace& trace, uint32_t slots) {
  const double small = 1.0 / static_cast<double>(trace.uses.size() + 1);
  std::vector<uint32_t> counts(size_t{trace.recipe.layers} * trace.recipe.experts);
  return replay(trace, slots, [&](Kept& kept, size_t i) {
    const Use& use = trace.uses[i];
    for (const uint32_t expert : use.experts) {
      const size_t key = kept.key(use.layer, expert);
      kept.set(key, ++counts[key] + static_cast<double>(i) * small);
    }
  });
}

Score replay_informed(const Trace& trace, uint32_t slots) {
  const Recipe& recipe = trace.recipe;
  const auto chance = [&](uint32_t topic, size_t key, bool again) {
    const uint32_t rank = trace.ranks[topic][key];
    if (!again) return trace.drawn_anew[rank];
    return recipe.repeat + (1 - recipe.repeat) * trace.drawn_anew[rank];
  };
  std::vector<uint32_t> topics(recipe.layers, UINT32_MAX);
  std::vector<std::vector<uint32_t>> last(recipe.layers);
  return replay(trace, slots, [&](Kept& kept, size_t i) {
    const Use& use = trace.uses[i];
    for (uint32_t e = 0; e < recipe.experts && topics[use.layer] != use.topic; ++e) {
      kept.set(kept.key(use.layer, e), chance(use.topic, kept.key(use.layer, e), false));
    }
    topics[use.layer] = use.topic;
    for (const uint32_t e : last[use.layer]) {
      kept.set(kept.key(use.layer, e), chance(use.topic, kept.key(use.layer, e), false));
    }
    last[use.layer].clear();
    if (use.prompt || recipe.repeat == 0) return;
    last[use.layer] = use.experts;
    for (const uint32_t e : use.experts) {
      kept.set(kept.key(use.layer, e), chance(use.topic, kept.key(use.layer, e), true));
    }
  });
}

Score replay_belady(const Trace& trace, uint32_t slots) {
  // next[i][j]: the use after i that has the j-th expert of use i.
  std::vector<std::vector<size_t>> next(trace.uses.size());
  std::vector<size_t> seen(size_t{trace.recipe.layers} * trace.recipe.experts,
                           trace.uses.size());
  for (size_t i = trace.uses.size(); i > 0; --i) {
    const Use& use = trace.uses[i - 1];
    for (const uint32_t expert : use.experts) {
      size_t& at = seen[size_t{use.layer} * trace.recipe.experts + expert];
      next[i - 1].push_back(at);
      at = i - 1;
    }
  }
  return replay(trace, slots, [&](Kept& kept, size_t i) {
    const Use& use = trace.uses[i];
    for (size_t j = 0; j < use.experts.size(); ++j) {
      kept.set(kept.key(use.layer, use.experts[j]), -static_cast<double>(next[i][j]));
    }
  });
}

}  // namespace gantry::bench
