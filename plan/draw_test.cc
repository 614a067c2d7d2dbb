// What is drawn of a model; lab/plan compares the bytes with the engine's.
#include "plan/draw.h"

#include <gtest/gtest.h>

#include "plan/example.h"

namespace gantry {
namespace {

Wish sample(const std::string& architecture, uint32_t layers) {
  Wish wish = wish_for("m", llama_card({2048, layers, 32, 8, 8192, 32000, 32768}));
  ModelCard& card = *wish.card;
  card.architecture = architecture;
  wish.context = 4096;
  if (architecture == "gemma2") {
    for (uint32_t i = 0; i < layers; i += 2) card.kv[i].window = 1024;
  }
  if (architecture == "jamba") {
    for (uint32_t i = 0; i + 1 < layers; ++i) {
      if (i % 4 != 3) card.kv[i] = {};
    }
    card.mixer = {4, 4096, 16, 0, 128};
  }
  if (architecture == "qwen3moe") {
    card.experts = 64;
    card.experts_used = 8;
    card.expert_ffn = 768;
    for (TensorGroup& group : card.groups) {
      if (group.part == Part::kLayer) group.expert_bytes = Bytes{group.bytes.n / 2};
    }
  }
  return wish;
}

TEST(Draw, AFewLayersAreAsGoodAsAll) {
  for (const char* architecture : {"llama", "qwen3moe", "gemma2", "jamba", "phi2", "phi3"}) {
    for (const bool flash : {false, true}) {
      Wish wish = sample(architecture, 32);
      wish.flash_attention = flash;
      for (const std::vector<Split>& splits :
           {std::vector<Split>{}, {{"a", 32}}, {{"a", 20}}, {{"a", 12}, {"b", 20}}}) {
        EXPECT_EQ(draw_llama(wish, splits).bytes, draw_llama(wish, splits, true).bytes)
            << architecture << (flash ? " flash " : " ") << splits.size();
      }
    }
  }
}

// As Q4_K_M has it: v and down are Q6_K in the first and last eighth and in every third between.
Wish mixed(const Shape& shape) {
  Wish wish = wish_for("m", llama_card(shape));
  wish.context = 4096;
  ModelCard& card = *wish.card;
  const auto q4 = [](uint64_t elements) { return elements / 256 * 144; };
  const uint64_t embd = shape.embd, square = embd * embd, wide = embd * shape.ffn;
  const uint64_t key = square / shape.heads * shape.heads_kv;
  for (TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer) continue;
    const auto i = static_cast<uint32_t>(group.layer), eighth = shape.layers / 8;
    const bool more = i < eighth || i >= shape.layers - eighth || (i - eighth) % 3 == 2;
    const auto better = [&](uint64_t elements) {
      return more ? elements / 256 * 210 : q4(elements);
    };
    group.sizes = {q4(square), q4(square), q4(key), better(key), q4(wide), q4(wide), better(wide)};
    card.parameters += 2 * square + 2 * key + 3 * wide;
  }
  card.weight_bytes = Bytes{card.parameters * 5 / 8};
  return wish;
}

TEST(Draw, TypesArePartOfThePattern) {
  for (const Shape& shape : {Shape{2048, 22, 32, 4, 5632, 32000, 4096},
                             Shape{4096, 36, 32, 8, 12288, 151936, 32768},
                             Shape{8192, 80, 64, 8, 28672, 128256, 32768}}) {
    Wish wish = mixed(shape);
    for (const bool flash : {false, true}) {
      wish.flash_attention = flash;
      for (uint32_t resident = 1; resident < shape.layers; resident += 1 + shape.layers / 20) {
        const std::vector<Split> splits = {{"a", resident}};
        EXPECT_EQ(draw_llama(wish, splits).bytes, draw_llama(wish, splits, true).bytes)
            << shape.layers << " " << resident << (flash ? " flash" : "");
      }
    }
  }
}

TEST(Draw, OnceForSplitsThatAreAlike) {
  const Wish wish = sample("llama", 32);
  Drawings drawings(wish);
  for (uint32_t resident = 1; resident <= 32; ++resident) {
    EXPECT_EQ(drawings.of({{"a", resident}}), draw_llama(wish, {{"a", resident}}).bytes);
  }
  EXPECT_EQ(drawings.of({}), draw_llama(wish, {}).bytes);
  EXPECT_EQ(drawings.of({{"a", 20}, {"b", 12}}), draw_llama(wish, {{"a", 20}, {"b", 12}}).bytes);
}

TEST(Draw, MoreTokensTakeMore) {
  Wish wish = sample("llama", 8);
  const auto bytes = [&] { return draw_llama(wish, {}).bytes.front(); };
  const uint64_t small = bytes();
  wish.context = 8192;
  const uint64_t longer = bytes();
  wish.ubatch = 1024;
  EXPECT_LT(small, longer);
  EXPECT_LT(longer, bytes());
  wish.ubatch = 512;
  wish.flash_attention = true;
  EXPECT_LT(bytes(), longer / 2);
}

TEST(Draw, WhateverTheCardSays) {
  Wish wish = sample("something new", 3);
  wish.card->heads = wish.card->vocab = wish.card->embd = 0;
  EXPECT_EQ(draw_llama(wish, {{"a", 2}}).bytes.size(), 2U);
  wish.card->kv.clear();
  wish.card->groups.clear();
  EXPECT_EQ(draw_llama(wish, {{"a", 3}}).bytes.size(), 2U);
  wish.card->layers = 0;
  EXPECT_EQ(draw_llama(wish, {}).bytes, std::vector<uint64_t>{0});
  Wish huge = sample("llama", 2);
  huge.card->context_trained = 0;
  huge.card->heads = kHeadsMax;
  huge.context = kContextMax;
  huge.ubatch = 1U << 20;
  huge.parallel = 4096;
  EXPECT_GE(draw_llama(huge, {}).bytes.front(), 1ULL << 48);
}

}  // namespace
}  // namespace gantry
