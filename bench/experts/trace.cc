// See trace.h. Draws are by weight without replacement.
#include "bench/experts/trace.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"

namespace gantry::bench {

namespace {

constexpr uint32_t kDrawsForChances = 20'000;

double uniform(Rng& rng) { return static_cast<double>(rng.next() >> 11) * 0x1p-53; }

class Drawer {
 public:
  Drawer(const Recipe& recipe, Rng& rng) : rng_(rng), weights_(recipe.experts) {
    for (uint32_t r = 0; r < recipe.experts; ++r) weights_[r] = std::pow(r + 1, -recipe.zipf);
  }
  // Adds ranks to `chosen` (by rank: used or not) until `count` are.
  void draw(std::vector<bool>& chosen, uint32_t count) {
    double left = 0;
    uint32_t have = 0;
    for (size_t r = 0; r < weights_.size(); ++r) {
      if (chosen[r]) {
        ++have;
      } else {
        left += weights_[r];
      }
    }
    for (; have < count; ++have) {
      double at = uniform(rng_) * left;
      size_t last = 0;
      for (size_t r = 0; r < weights_.size(); ++r) {
        if (chosen[r]) continue;
        last = r;
        if ((at -= weights_[r]) < 0) break;
      }
      chosen[last] = true;
      left -= weights_[last];
    }
  }

 private:
  Rng& rng_;
  std::vector<double> weights_;
};

std::vector<double> chances(const Recipe& recipe, uint32_t count) {
  Rng rng(99);
  Drawer drawer(recipe, rng);
  std::vector<double> out(recipe.experts);
  for (uint32_t i = 0; i < kDrawsForChances; ++i) {
    std::vector<bool> chosen(recipe.experts);
    drawer.draw(chosen, count);
    for (uint32_t r = 0; r < recipe.experts; ++r) out[r] += chosen[r];
  }
  for (double& chance : out) chance /= kDrawsForChances;
  return out;
}

std::vector<uint32_t> new_ranks(const Recipe& recipe, Rng& rng) {
  std::vector<uint32_t> ranks;
  for (uint32_t layer = 0; layer < recipe.layers; ++layer) {
    std::vector<uint32_t> order(recipe.experts);
    std::iota(order.begin(), order.end(), 0u);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    ranks.insert(ranks.end(), order.begin(), order.end());
  }
  return ranks;
}

// The experts of `tokens` tokens at one layer; `last` is the token before, and is replaced.
std::vector<uint32_t> used(const Recipe& recipe, uint32_t tokens, const uint32_t* ranks,
                           std::vector<uint32_t>& last, Drawer& drawer, Rng& rng) {
  std::vector<bool> any(recipe.experts);
  for (uint32_t token = 0; token < tokens; ++token) {
    std::vector<bool> chosen(recipe.experts);  // by rank
    for (const uint32_t expert : last) {
      if (uniform(rng) < recipe.repeat) chosen[ranks[expert]] = true;
    }
    drawer.draw(chosen, recipe.top_k);
    last.clear();
    for (uint32_t expert = 0; expert < recipe.experts; ++expert) {
      if (!chosen[ranks[expert]]) continue;
      last.push_back(expert);
      any[expert] = true;
    }
  }
  std::vector<uint32_t> experts;
  for (uint32_t expert = 0; expert < recipe.experts; ++expert) {
    if (any[expert]) experts.push_back(expert);
  }
  return experts;
}

}  // namespace

Trace make_trace(const Recipe& recipe) {
  Trace trace{recipe, {}, {}, chances(recipe, recipe.top_k), {}};
  const auto anew = static_cast<uint32_t>(std::lround(recipe.top_k * (1 - recipe.repeat)));
  trace.drawn_anew = chances(recipe, anew);
  Rng rng(recipe.seed);
  Drawer drawer(recipe, rng);
  std::vector<std::vector<uint32_t>> last(recipe.layers);
  for (uint32_t token = 0; token < recipe.tokens; ++token) {
    if (token == 0 || (recipe.topic > 0 && token % recipe.topic == 0)) {
      trace.ranks.push_back(new_ranks(recipe, rng));
    }
    const auto topic = static_cast<uint32_t>(trace.ranks.size() - 1);
    const bool prompt = recipe.prompt_every > 0 && token % recipe.prompt_every == 0;
    for (uint32_t layer = 0; layer < recipe.layers; ++layer) {
      const uint32_t* ranks = trace.ranks[topic].data() + size_t{layer} * recipe.experts;
      trace.uses.push_back({layer, topic, prompt,
                            used(recipe, prompt ? recipe.prompt : 1, ranks, last[layer], drawer,
                                 rng)});
    }
  }
  return trace;
}

std::vector<Recipe> recipes() {
  std::vector<Recipe> all(7);
  all[0].name = "zipf";
  all[0].what = "each token draws its experts anew, weight 1/rank, ranks fixed for each layer";
  all[1].name = "uniform";
  all[1].what = "each token draws its experts anew, all alike";
  all[1].zipf = 0;
  all[2].name = "zipf-repeat";
  all[2].what = "as zipf, but each expert of the token before is used again with chance 0.5";
  all[2].repeat = 0.5;
  all[3].name = "uniform-repeat";
  all[3].what = "as uniform, but each expert of the token before is used again with chance 0.5";
  all[3].zipf = 0;
  all[3].repeat = 0.5;
  all[4].name = "zipf-topics";
  all[4].what = "as zipf with chance 0.3 of repetition; all ranks change every 250 tokens";
  all[4].repeat = 0.3;
  all[4].topic = 250;
  all[5].name = "zipf-prompts";
  all[5].what = "as zipf with chance 0.3 of repetition; every 200 tokens a batch of 512 tokens";
  all[5].repeat = 0.3;
  all[5].prompt_every = 200;
  all[6].name = "zipf-few";
  all[6].what = "as zipf with 32 layers of 8 experts, 2 used";
  all[6].layers = 32;
  all[6].experts = 8;
  all[6].top_k = 2;
  for (size_t i = 0; i < all.size(); ++i) all[i].seed = 20'261'121 + i;
  return all;
}

}  // namespace gantry::bench
