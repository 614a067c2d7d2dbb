// Hit rates of the expert cache beside LRU, LFU, "informed" and Belady's optimum.
// usage: experts [--json] [--recipe NAME] [--tokens N] [--ours]
//
// Belady's optimum knows the dice of every token to come. What a cache without that knowledge can
// reach is bounded where tokens are drawn independently ("zipf", "uniform"): experts enter the
// cache only at their own layer's turn, so those of layer l that are found at its turn were all
// there when the pass over the layers began, and over one pass at most `slots` experts are found
// candidates in all. The expected hits are the sum of their chances: at most that of the `slots`
// most probable experts, slots/experts where all are alike. "informed" keeps exactly those, from
// the recipe's own chances; where tokens repeat it adds the chance of repetition (no bound there,
// but all that is known). So the distance to judge by is the one to "informed"; the one from
// "informed" to Belady is the price of not knowing the future.
#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "bench/experts/policies.h"

namespace {

using namespace gantry::bench;

struct Options {
  bool json = false, ours = false;
  std::string_view recipe;
  uint32_t tokens = 0;
};

constexpr uint32_t kPercents[] = {10, 25, 50, 75};

Options options_of(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::string_view value = i + 1 < count ? words[i + 1] : "";
    if (word == "--json") options.json = true;
    if (word == "--ours") options.ours = true;
    if (word == "--recipe") options.recipe = value;
    if (word == "--tokens") {
      std::from_chars(value.data(), value.data() + value.size(), options.tokens);
    }
  }
  return options;
}

struct Policy {
  const char* name;
  Score (*replay)(const Trace&, uint32_t);
};
constexpr Policy kPolicies[] = {{"gantry", replay_gantry},     {"lru", replay_lru},
                                {"lfu", replay_lfu},           {"informed", replay_informed},
                                {"belady", replay_belady}};

void print_recipe(const Recipe& recipe, bool json) {
  if (!json) {
    fmt::print("\n{}: {} layers x {} experts, top {}, {} tokens; {} (seed {})\n", recipe.name,
               recipe.layers, recipe.experts, recipe.top_k, recipe.tokens, recipe.what,
               recipe.seed);
    return;
  }
  fmt::print("{{\"recipe\":\"{}\",\"what\":\"{}\",\"layers\":{},\"experts\":{},\"top_k\":{},"
             "\"tokens\":{},\"zipf\":{},\"repeat\":{},\"topic\":{},\"prompt_every\":{},"
             "\"prompt\":{},\"seed\":{},\"sizes\":[",
             recipe.name, recipe.what, recipe.layers, recipe.experts, recipe.top_k, recipe.tokens,
             recipe.zipf, recipe.repeat, recipe.topic, recipe.prompt_every, recipe.prompt,
             recipe.seed);
}

void measure(const Trace& trace, uint32_t percent, const Options& options) {
  const uint32_t slots = trace.recipe.layers * trace.recipe.experts * percent / 100;
  fmt::print(fmt::runtime(options.json ? "{{\"percent\":{},\"slots\":{}" : "{:3} % ({} slots)"),
             percent, slots);
  for (const Policy& policy : kPolicies) {
    if (options.ours && policy.replay != replay_gantry) continue;
    const Score score = policy.replay(trace, slots);
    if (options.json) {
      fmt::print(",\"{}\":{{\"hit_rate\":{:.4f},\"hits\":{},\"misses\":{},\"prompt_misses\":{}}}",
                 policy.name, score.rate(), score.hits, score.misses, score.prompt_misses);
    } else {
      fmt::print("  {} {:.1f}", policy.name, 100 * score.rate());
      if (policy.replay == replay_gantry) {
        fmt::print(" ({:.1f} us a layer)",
                   1e6 * score.seconds / static_cast<double>(trace.uses.size()));
      }
    }
  }
  fmt::print(fmt::runtime(options.json ? "}}{}" : "{}"),
             !options.json ? "\n" : percent == 75 ? "" : ",");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
  const Options options = options_of(count, words);
  bool first = true;
  if (options.json) fmt::print("{{\"traces\":[\n");
  for (Recipe recipe : recipes()) {
    if (!options.recipe.empty() && recipe.name != options.recipe) continue;
    if (options.tokens > 0) recipe.tokens = options.tokens;
    if (options.json && !first) fmt::print(",\n");
    first = false;
    print_recipe(recipe, options.json);
    const Trace trace = make_trace(recipe);
    for (const uint32_t percent : kPercents) measure(trace, percent, options);
    if (options.json) fmt::print("]}}");
  }
  if (options.json) fmt::print("\n]}}\n");
  return 0;
}
