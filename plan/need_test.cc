// Tests of the formulas against what the engines logged and what was seen from outside.
#include "plan/need.h"

#include <gtest/gtest.h>

#include <cmath>

#include "plan/example.h"

namespace gantry {
namespace {

// llama-server's "compute buffer size" in MiB, -np 1, CPU.
struct Logged {
  Shape shape;
  uint32_t context, ubatch;
  double without_flash;
  double with_flash;  // 0: not looked at
};

constexpr Shape kS1 = {512, 4, 8, 2, 1536, 32000, 8192};
constexpr Shape kS2 = {1024, 2, 16, 16, 2816, 8000, 8192};
constexpr Shape kS3 = {256, 2, 4, 4, 512, 128000, 8192};
constexpr Shape kS4 = {1024, 2, 16, 4, 2816, 8192, 8192};
constexpr Logged kLogged[] = {
    {kMicro, 1024, 512, 11.51, 3.26}, {kMicro, 1024, 128, 2.88, 0},
    {kS1, 1024, 512, 23.51, 14.01},   {kS1, 4096, 512, 77.51, 17.01},
    {kS1, 2048, 128, 10.38, 3.75},    {kS1, 256, 256, 6.50, 0},
    {kS1, 1024, 128, 5.88, 0},        {kS2, 1024, 512, 48.01, 25.51},
    {kS2, 4096, 512, 150.01, 28.51},  {kS2, 2048, 128, 20.50, 6.63},
    {kS2, 256, 256, 13.50, 0},        {kS3, 1024, 512, 13.51, 5.01},
    {kS3, 4096, 512, 43.51, 8.01},    {kS3, 2048, 128, 5.88, 1.50},
    {kS3, 256, 256, 3.00, 0},         {kS4, 1024, 512, 45.01, 25.51},
    {kS4, 4096, 512, 147.01, 28.51},  {kS4, 2048, 128, 19.75, 6.63},
    {kS4, 256, 256, 12.00, 0},
};

double mebibytes(Bytes bytes) { return static_cast<double>(bytes.n) / double(MiB(1).n); }

TEST(Graph, IsWhatLlamaLogged) {
  for (const Logged& logged : kLogged) {
    Wish wish = wish_for("m", llama_card(logged.shape));
    wish.context = logged.context;
    wish.ubatch = logged.ubatch;
    const double without = mebibytes(llama_graph_bytes(wish));
    EXPECT_GE(without, logged.without_flash - 0.01) << logged.shape.embd << " " << logged.context;
    EXPECT_LE(without, logged.without_flash * 1.02) << logged.shape.embd << " " << logged.context;
    if (logged.with_flash == 0) continue;
    wish.flash_attention = true;
    const double with = mebibytes(llama_graph_bytes(wish));
    EXPECT_GE(with, logged.with_flash - 0.01) << logged.shape.embd << " " << logged.context;
    EXPECT_LE(with, logged.with_flash * 1.25) << logged.shape.embd << " " << logged.context;
  }
}

// Size of the whole llama-server after a prompt that filled the context, in MiB: of the shipped
// model its PSS, the engine's libraries in full; of the others the resident size.
struct Seen {
  Shape shape;
  uint32_t context, ubatch, parallel;
  bool flash;
  double resident;
};
constexpr Seen kSeen[] = {
    {kMicro, 1024, 512, 1, false, 38.1}, {kMicro, 1024, 512, 1, true, 26.3},
    {kS1, 1024, 512, 1, false, 140.7},   {kS1, 1024, 512, 1, true, 126.7},
    {kS1, 1024, 512, 3, false, 143.7},   {kS1, 1024, 128, 1, false, 119.6},
    {kS1, 4096, 512, 1, false, 219.2},   {kS2, 1024, 512, 1, false, 167.2},
    {kS2, 1024, 512, 1, true, 135.2},    {kS2, 4096, 512, 1, false, 330.0},
    {kS2, 4096, 512, 1, true, 162.7},    {kS3, 1024, 512, 1, false, 186.0},
};

TEST(Need, IsAnUpperBoundOfWhatWasSeen) {
  for (const Seen& seen : kSeen) {
    Wish wish = wish_for("m", llama_card(seen.shape));
    wish.context = seen.context;
    wish.ubatch = seen.ubatch;
    wish.parallel = seen.parallel;
    wish.flash_attention = seen.flash;
    if (seen.shape.embd == 128) {  // the shipped model: one table, and its own file
      wish.card->groups.back().bytes = Bytes{512};
      wish.card->weight_bytes = Bytes{2520576};
      wish.card->file_bytes = Bytes{2539744};
    }
    const auto needs = needs_of(wish, "", 0, {});
    ASSERT_EQ(needs.size(), 1U);
    const double predicted = mebibytes(needs[0].total());
    EXPECT_GE(predicted, seen.resident) << seen.shape.embd << " " << seen.context;
    EXPECT_LE(predicted, seen.resident * 1.12) << seen.shape.embd << " " << seen.context;
  }
}

TEST(Need, OfTheShippedSpeechModel) {
  const Wish wish = wish_for("asr", whisper_card());
  const auto needs = needs_of(wish, "", 0, {});
  ASSERT_EQ(needs.size(), 1U);
  EXPECT_NEAR(mebibytes(needs[0].kv), 0.84, 0.01);  // 0.39 + 0.39 + 0.10 MB were logged
  // Graphs as logged, 2.06 + 2.13 + 1.67 + 14.92 MB, less rows of logits that nothing touches.
  const double graphs = double(whisper_graph_bytes(*wish.card, false).front().n) / 1e6;
  EXPECT_LE(graphs, 20.78 - 48 * 51864 * 4 / 1e6);
  EXPECT_GE(graphs, 20.78 - 48 * 51864 * 4 / 1e6 - 0.4);
  EXPECT_GE(mebibytes(needs[0].total()), 42.5);  // resident; its share of libraries off: 38.8
  EXPECT_LE(mebibytes(needs[0].total()), 42.5 * 1.08);
}

TEST(Need, OfSpeechGrowsWithEachPieceAtOnce) {
  Wish wish = wish_for("asr", whisper_card());
  const Need one = needs_of(wish, "", 0, {})[0];
  wish.parallel = 3;
  const Need three = needs_of(wish, "", 0, {})[0];
  EXPECT_EQ(three.weights, one.weights);
  EXPECT_EQ(three.kv.n, 3 * one.kv.n);
  EXPECT_EQ(three.compute.n, 3 * one.compute.n);
  EXPECT_GE(three.overhead.n, one.overhead.n + 2 * whisper_sound_bytes(*wish.card).n);
  const auto split = needs_of(wish, "gpu0", 1, {});
  ASSERT_EQ(split.size(), 2U);
  EXPECT_EQ(split[0].kv, three.kv);
}

TEST(Need, OfTheShippedVisionModel) {
  Wish wish = wish_for("vision", llama_card(kMicro));
  wish.card->groups.back().bytes = Bytes{512};
  wish.card->weight_bytes = Bytes{2520576};
  wish.card->file_bytes = Bytes{2539744};
  ModelCard encoder;
  encoder.architecture = "clip";
  encoder.layers = 4;
  encoder.embd = 128;
  encoder.heads = 4;
  encoder.ffn = 384;
  encoder.image_size = 168;
  encoder.patch_size = 14;
  encoder.weight_bytes = Bytes{1694720};
  wish.mmproj = encoder;
  EXPECT_EQ(vision_graph_bytes(wish), Bytes{671'616});
  // PSS, the context full, with an image of 1920 x 1080.
  const double without = mebibytes(needs_of(wish, "", 0, {})[0].total());
  EXPECT_GE(without, 57.2);
  EXPECT_LE(without, 57.2 * 1.05);
  wish.flash_attention = true;
  const double with = mebibytes(needs_of(wish, "", 0, {})[0].total());
  EXPECT_GE(with, 45.3);
  EXPECT_LE(with, 45.3 * 1.05);
}

TEST(Need, OfTheShippedEmbeddingModel) {
  Wish wish = wish_for("embed", llama_card({96, 3, 3, 3, 256, 196, 128}));
  wish.card->kv.clear();
  wish.card->weight_bytes = Bytes{617472};
  wish.card->file_bytes = Bytes{624704};
  ASSERT_TRUE(is_encoder(wish));
  const double predicted = mebibytes(needs_of(wish, "", 0, {})[0].total());
  EXPECT_GE(predicted, 15.8);  // PSS
  EXPECT_LE(predicted, 15.8 * 1.05);
}

// Against llama-server's own log (-lv 4) of a model with this draft: `gantry synth llama --layers 6
// --embd 1024 --ff 4096 --heads 16 --kv-heads 4 --vocab 8000`, `--layers 2 --embd 256 --ff 512
// --heads 4 --kv-heads 4`; -c 2048 -ub 512 -fa on, on the CPU and on a device that is not here.
TEST(Need, ADraftIsAModelOfItsOwnBesideTheOther) {
  Wish wish = wish_for("m", llama_card({1024, 6, 16, 4, 4096, 8000, 4096}));
  wish.context = 2048;
  wish.flash_attention = true;
  const ModelCard small = llama_card({256, 2, 4, 4, 512, 8000, 1024});
  const Need alone = needs_of(wish, "", 0, {})[0];
  wish.draft = small;
  const Need both = needs_of(wish, "", 0, {})[0];
  EXPECT_EQ((both.weights - alone.weights).n, small.weight_bytes.n);
  EXPECT_EQ((both.kv - alone.kv).n, 2U * 2 * 2048 * 256 * 2);  // its context is the other's
  // Logged: 6.01 MiB for its graph, 0.03 for its row of logits; the other has nine rows, not one.
  EXPECT_NEAR(mebibytes(both.compute - alone.compute), 6.01 + 9 * 8000 * 4 / 1048576.0, 0.02);
  const auto needs = needs_of(wish, "gpu0", 6, {});
  wish.draft.reset();
  const auto without = needs_of(wish, "gpu0", 6, {});
  EXPECT_EQ((needs[0].weights - without[0].weights + needs[1].weights - without[1].weights).n,
            small.weight_bytes.n);
  EXPECT_EQ((needs[0].kv - without[0].kv).n, 2U * 2 * 2048 * 256 * 2);
  EXPECT_EQ(needs[0].overhead, without[0].overhead);  // one runtime of the device
}

TEST(Need, AdaptersLieWhereTheirLayersDo) {
  Wish wish = wish_for("m", llama_card({1024, 6, 16, 4, 4096, 8000, 4096}));
  const auto before = needs_of(wish, "gpu0", 2, {});
  wish.lora = Bytes{6'000'003};
  wish.adapters = 1;
  const auto after = needs_of(wish, "gpu0", 2, {});
  EXPECT_EQ((after[0].weights - before[0].weights).n, 2'000'000U);
  EXPECT_EQ((after[1].weights - before[1].weights).n, 4'000'003U);
  // Its products find room in what the graph frees; llama-server logged the same on the CPU.
  EXPECT_NEAR(mebibytes(after[0].compute), mebibytes(before[0].compute), 0.3);
}

TEST(Need, ContextIsAtMostWhatWasTrained) {
  Wish wish = wish_for("m", llama_card(kMicro));
  EXPECT_EQ(context_of(wish), 1024U);
  wish.context = 5000;
  EXPECT_EQ(context_of(wish), 1024U);
  wish.context = 100;
  EXPECT_EQ(context_of(wish), 100U);
  EXPECT_EQ(context_of(wish_for("m", llama_card(kSevenB))), kContextDefault);
  EXPECT_EQ(context_of(wish_for("m", whisper_card())), 64U);
}

TEST(Need, SplitLosesNothing) {
  const Wish wish = wish_for("m", llama_card(kSevenB));
  const Need whole = needs_of(wish, "", 0, {})[0];
  for (uint32_t resident = 1; resident <= 32; ++resident) {
    const auto needs = needs_of(wish, "gpu0", resident, {});
    ASSERT_EQ(needs.size(), 2U);
    EXPECT_EQ(needs[0].device, "gpu0");
    EXPECT_EQ(needs[1].device, kHost);
    EXPECT_EQ(needs[0].weights + needs[1].weights, whole.weights);
    EXPECT_GE(needs[0].kv + needs[1].kv, whole.kv);
    EXPECT_GE(needs[0].compute + needs[1].compute, llama_graph_bytes(wish));
  }
}

TEST(Need, TiedOutputIsCopiedToTheAccelerator) {
  ModelCard card = llama_card(kMicro);
  EXPECT_FALSE(is_tied(card));
  card.weight_bytes -= card.groups.back().bytes;
  card.groups.back().bytes = Bytes{512};
  card.weight_bytes += Bytes{512};
  EXPECT_TRUE(is_tied(card));
  const auto needs = needs_of(wish_for("m", card), "gpu0", 8, {});
  EXPECT_EQ(needs[0].weights + needs[1].weights,
            card.weight_bytes + card.bytes_in(Part::kEmbedding));
}

TEST(Need, GrowsWithEveryLever) {
  const Wish wish = wish_for("m", llama_card(kSevenB));
  const Bytes base = needs_of(wish, "", 0, {})[0].total();
  const auto total = [&](auto change) {
    Wish changed = wish;
    change(&changed);
    return needs_of(changed, "", 0, {})[0].total();
  };
  EXPECT_GT(total([](Wish* w) { w->context = 8192; }), base);
  EXPECT_GT(total([](Wish* w) { w->parallel = 2; }), base);
  EXPECT_GT(total([](Wish* w) { w->ubatch = 1024; }), base);
  EXPECT_GT(total([](Wish* w) { w->cache_k = CacheType::kF32; }), base);
  EXPECT_GT(total([](Wish* w) { w->mmproj = llama_card(kMicro); }), base);
  EXPECT_LT(total([](Wish* w) { w->flash_attention = true; }), base);
  EXPECT_LT(total([](Wish* w) { w->cache_v = CacheType::kQ8_0; }), base);
  EXPECT_GT(total([](Wish* w) { w->measured_overhead = GiB(1); }), base);
}

TEST(Need, AbsurdShapesSaturate) {
  ModelCard card = llama_card(kMicro);
  card.heads = kHeadsMax;
  card.embd = kEmbdMax;
  card.ffn = UINT32_MAX;
  card.vocab = UINT32_MAX;
  card.experts = card.experts_used = UINT32_MAX;
  card.context_trained = kContextMax;
  Wish wish = wish_for("m", card);
  wish.context = kContextMax;
  wish.ubatch = kUbatchMax;
  wish.parallel = kSequencesMax;
  EXPECT_EQ(needs_of(wish, "", 0, {})[0].total().n, UINT64_MAX);
  EXPECT_EQ(product({UINT64_MAX, 2}), UINT64_MAX);
  EXPECT_EQ(product({UINT64_MAX, 2, 0}), 0U);
}

// What was seen, in MiB, and a quarter more at the most (the shapes of tiny and base).
TEST(Need, AnEncoderByOpenvinoCountsWithItsLibraries) {
  ModelCard card = whisper_card();
  Wish wish = wish_for("ear", card);
  const Bytes without = needs_of(wish, std::vector<Split>{}, {})[0].total();
  wish.openvino_encoder = true;
  EXPECT_EQ(needs_of(wish, std::vector<Split>{}, {})[0].total(),
            without + openvino_encoder_bytes(card));
  card.audio_context = 1500;
  card.audio_mels = 80;
  const auto mib = [&card](uint32_t layers, uint32_t width) {
    card.audio_layers = layers;
    card.embd = width;
    return double(openvino_encoder_bytes(card).n) / (1 << 20);
  };
  EXPECT_GE(mib(4, 384), 115.5);
  EXPECT_LE(mib(4, 384), 115.5 * 1.25);
  EXPECT_GE(mib(6, 512), 214.7);
  EXPECT_LE(mib(6, 512), 214.7 * 1.25);
}

TEST(Need, CommandsAndTheMediaDecoder) {
  Wish command;
  command.name = "c";
  command.engine = EngineKind::kCommand;
  EXPECT_EQ(needs_of(command, "", 0, GiB(3))[0].total(), GiB(3));
  command.declared = GiB(2);
  EXPECT_EQ(needs_of(command, "", 0, GiB(3))[0].total(), GiB(2));
  Wish media;
  media.engine = EngineKind::kMedia;
  EXPECT_EQ(needs_of(media, "", 0, {})[0].total(), MiB(56));
  Wish small = media;
  small.small_media = true;
  EXPECT_EQ(needs_of(small, "", 0, {})[0].total(), MiB(6));
  media.declared = MiB(40);
  EXPECT_EQ(needs_of(media, "", 0, {})[0].total(), MiB(40));
}

TEST(Touched, IsWeightsOncePerToken) {
  const Wish wish = wish_for("m", llama_card(kSevenB));
  const ModelCard& card = *wish.card;
  const Touched touched = touched_per_token(wish, 0);
  EXPECT_EQ(touched.accelerator, 0);
  const double weights = double((card.weight_bytes - card.bytes_in(Part::kEmbedding)).n);
  EXPECT_GT(touched.host, weights);
  EXPECT_LT(touched.host, weights * 1.05);
  const Touched half = touched_per_token(wish, 16);
  EXPECT_NEAR(half.accelerator + half.host, touched.host, 1);
  EXPECT_EQ(touched_per_token(wish_for("w", whisper_card()), 0).host, 0);
}

TEST(Touched, OnlyExpertsThatAreUsed) {
  ModelCard card = llama_card(kSevenB);
  const double dense = touched_per_token(wish_for("m", card), 0).host;
  card.experts = 8;
  card.experts_used = 2;
  Bytes experts;
  for (TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer) continue;
    group.expert_bytes = {group.bytes.n / 2};
    experts += group.expert_bytes;
  }
  EXPECT_NEAR(touched_per_token(wish_for("m", card), 0).host, dense - double(experts.n) * 0.75, 64);
}

// Nemotron's: layers without a cache, not all of which keep a state.
TEST(Need, StatesThatDoNotDivideByTheLayersAreAllThere) {
  ModelCard card = llama_card(kMicro);
  const uint64_t without = card.kv.size() - 1;
  for (size_t i = 1; i < card.kv.size(); ++i) card.kv[i] = {};
  card.state_bytes = Bytes{1'000 * without + 1};
  const Wish wish = wish_for("m", card);
  Bytes each;
  for (uint32_t i = 0; i < card.layers; ++i) each += layer_kv(wish, i, 1);
  EXPECT_EQ(layer_kv(wish, 0, card.layers), each);
  EXPECT_GE(each, card.kv_bytes(context_of(wish), wish.cache_k, wish.cache_v) + card.state_bytes);
}

// What an encoder of sound loads once more is on the device that has both.
TEST(Need, WhatTwoEncodersShareIsThereTwice) {
  Wish wish = wish_for("m", llama_card(kMicro));
  wish.mmproj = llama_card(kMicro);
  const Bytes alone = needs_of(wish, "", 0, {}).back().weights;
  const Bytes offloaded = needs_of(wish, "gpu0", 1, {}).front().weights;
  wish.mmproj->audio.shared = MiB(3);
  EXPECT_EQ(needs_of(wish, "", 0, {}).back().weights, alone + MiB(3));
  EXPECT_EQ(needs_of(wish, "gpu0", 1, {}).front().weights, offloaded + MiB(3));
}

}  // namespace
}  // namespace gantry
