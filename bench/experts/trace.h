// Recipes of expert traces: which experts each layer uses, token after token. A seed makes each
// the same everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gantry::bench {

struct Recipe {
  std::string name;
  std::string what;        // the recipe in words
  uint32_t layers = 48;
  uint32_t experts = 128;
  uint32_t top_k = 8;
  uint32_t tokens = 2000;
  double zipf = 1.0;       // weight of the expert of rank r: r^-zipf; 0: uniform
  double repeat = 0;       // chance of each of the last token's experts to be used again
  uint32_t topic = 0;      // tokens until every layer ranks its experts anew; 0: never
  uint32_t prompt_every = 0;  // tokens between prompts; 0: none
  uint32_t prompt = 512;   // tokens of a prompt, one batch
  uint64_t seed = 1;
};

struct Use {
  uint32_t layer = 0;
  uint32_t topic = 0;
  bool prompt = false;
  std::vector<uint32_t> experts;  // ascending
};

struct Trace {
  Recipe recipe;
  std::vector<Use> uses;
  // Ranks of each topic, by layer and expert: 0 is the most popular.
  std::vector<std::vector<uint32_t>> ranks;
  // Chance of each rank to be among top_k, or among those drawn anew where some are repeated.
  std::vector<double> drawn, drawn_anew;
};

Trace make_trace(const Recipe& recipe);
std::vector<Recipe> recipes();

}  // namespace gantry::bench
