// Streaming: what stays, what it needs to the byte, and what is promised of its speed.
#include "plan/stream.h"

#include <gtest/gtest.h>

#include "plan/example.h"
#include "plan/need.h"
#include "stream/options.h"
#include "stream/residency.h"

namespace gantry {
namespace {

// A card as it is read from a file: with the size of each matrix. 28 layers of 15.75 MiB.
ModelCard read_card_of(uint32_t layers = 28) {
  ModelCard card = llama_card({1024, layers, 8, 8, 2048, 32000, 4096});
  for (TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer) {
      group.sizes = {group.bytes.n};
      continue;
    }
    const uint64_t square = 2 * 1024 * 1024, wide = 2 * 1024 * 2048;
    group.sizes = {square, square, square, square, wide, wide, wide, 4096, 4096};
    group.bytes = Bytes{4 * square + 3 * wide + 8192};
  }
  card.weight_bytes = {};
  for (const TensorGroup& group : card.groups) card.weight_bytes += group.bytes;
  card.file_bytes = card.weight_bytes + Bytes{22ULL * card.vocab};
  return card;
}

ModelCard expert_card() {
  ModelCard card = read_card_of(12);
  card.experts = 64;
  card.experts_used = 4;
  for (TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer) continue;
    group.expert_sizes = {MiB(32).n, MiB(32).n, MiB(32).n};
    group.expert_bytes = MiB(96);
    group.bytes += MiB(96);
    card.weight_bytes += MiB(96);
    card.file_bytes += MiB(96);
  }
  return card;
}

Wish wish_of(const ModelCard& card) {
  Wish wish = wish_for("m", card);
  wish.context = 1024;
  wish.flash_attention = true;
  return wish;
}

Plan planned(const Machine& machine, const Wish& wish, Bytes ram) {
  Demand demand;
  demand.wishes = {wish};
  demand.ram = Budget{ram, std::nullopt};
  const auto made = plan(machine, demand);
  EXPECT_TRUE(made) << made.error().message;
  if (!made) return {};
  const auto sound = verify(machine, demand, *made);
  EXPECT_TRUE(sound) << sound.error().message;
  return *made;
}

Bytes whole_of(const Wish& wish) { return needs_of(wish, "", 0, {})[0].total(); }

Machine measured_machine() {
  Machine machine = machine_with(GiB(16));
  machine.devices[0].bandwidth.memory_bytes_per_s = 20e9;
  machine.disk.read_bytes_per_s = 2e9;
  return machine;
}

TEST(StreamWishText, Words) {
  EXPECT_EQ(parse_stream_wish("auto")->streaming, Streaming::kAuto);
  EXPECT_EQ(parse_stream_wish("off")->streaming, Streaming::kNever);
  EXPECT_EQ(parse_stream_wish("whole")->streaming, Streaming::kNever);
  EXPECT_EQ(parse_stream_wish("extreme")->preset, Preset::kExtreme);
  EXPECT_EQ(parse_stream_wish("consumer")->preset, Preset::kBalanced);
  EXPECT_EQ(parse_stream_wish("8")->resident_layers, 8U);
  EXPECT_EQ(parse_stream_wish("512")->resident_layers, 512U);
  for (const char* wrong : {"", "513", "-1", "8x", "fast", "1.5"}) {
    const auto refused = parse_stream_wish(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, Code::kUsage);
  }
}

TEST(Streamed, OneByteLessThanWholeStreams) {
  const Wish wish = wish_of(read_card_of());
  const Plan whole = planned(machine_with(GiB(16)), wish, whole_of(wish));
  EXPECT_TRUE(whole.fits);
  EXPECT_FALSE(whole.models[0].stream);
  EXPECT_EQ(whole.models[0].layers.cpu, 28U);
  const Plan less = planned(machine_with(GiB(16)), wish, whole_of(wish) - Bytes{1});
  EXPECT_TRUE(less.fits);
  ASSERT_TRUE(less.models[0].stream);
  const Layers& layers = less.models[0].layers;
  EXPECT_EQ(layers.resident + layers.streamed, 28U);
  EXPECT_EQ(layers.cpu, 0U);
  EXPECT_GT(layers.streamed, 0U);
  EXPECT_GT(layers.resident, 14U);
}

TEST(Streamed, NeverOverTheBudgetAndEveryByteOfItUsed) {
  const Wish wish = wish_of(read_card_of());
  uint32_t before = 0;
  for (Bytes budget = MiB(330); budget < whole_of(wish); budget += MiB(30)) {
    const Plan plan = planned(machine_with(GiB(16)), wish, budget);
    ASSERT_TRUE(plan.fits) << plan.models[0].why;
    const Placement& model = plan.models[0];
    ASSERT_TRUE(model.stream);
    EXPECT_LE(model.needs[0].total(), budget);
    EXPECT_GT(model.needs[0].total() + MiB(24), budget);  // within a layer
    EXPECT_GE(model.layers.resident, before);
    before = model.layers.resident;
  }
  EXPECT_GT(before, 20U);
}

TEST(Streamed, TheLeastIsSaidWhereNotEvenStreamingFits) {
  const Wish wish = wish_of(read_card_of());
  const Plan plan = planned(machine_with(GiB(16)), wish, MiB(200));
  EXPECT_FALSE(plan.fits);
  EXPECT_NE(plan.models[0].why.find("even streamed"), std::string::npos) << plan.models[0].why;
  const Bytes least = plan.models[0].needs[0].total();
  EXPECT_LT(least, MiB(330));
  EXPECT_TRUE(planned(machine_with(GiB(16)), wish, least + MiB(1)).fits);
  EXPECT_FALSE(planned(machine_with(GiB(16)), wish, least - MiB(1)).fits);
}

TEST(Streamed, ForbiddenItFitsWholeOrNot) {
  Wish wish = wish_of(read_card_of());
  wish.stream.streaming = Streaming::kNever;
  const Plan plan = planned(machine_with(GiB(16)), wish, MiB(400));
  EXPECT_FALSE(plan.fits);
  EXPECT_FALSE(plan.models[0].stream);
  EXPECT_FALSE(plan.fixes.empty());
}

TEST(Streamed, PresetsAreTheStreamers) {
  Wish wish = wish_of(read_card_of());
  for (const auto& [name, layers] : {std::pair{"light", 20U}, {"moderate", 16U}, {"balanced", 12U},
                                     {"aggressive", 8U}, {"extreme", 4U}, {"5", 5U}}) {
    wish.stream = *parse_stream_wish(name);
    const Plan plan = planned(machine_with(GiB(16)), wish, GiB(8));  // even where all would fit
    ASSERT_TRUE(plan.models[0].stream) << name;
    EXPECT_EQ(plan.models[0].layers.resident, layers) << name;
    EXPECT_EQ(plan.models[0].stream->resident_layers, layers) << name;
  }
  wish.stream = *parse_stream_wish("28");
  EXPECT_FALSE(planned(machine_with(GiB(16)), wish, GiB(8)).models[0].stream);
  wish.stream = *parse_stream_wish("light");
  EXPECT_FALSE(planned(machine_with(GiB(16)), wish, MiB(400)).fits);  // never silently fewer
}

TEST(Streamed, OnlyVisitedExpertsMove) {
  const Wish wish = wish_of(expert_card());
  const Plan plan = planned(measured_machine(), wish, MiB(700));
  ASSERT_TRUE(plan.fits) << plan.models[0].why;
  ASSERT_TRUE(plan.models[0].stream);
  const StreamPlan& stream = *plan.models[0].stream;
  EXPECT_GE(stream.experts, MiB(96));
  EXPECT_GE(stream.streamed, MiB(12 * 96));
  EXPECT_LT(stream.per_token, static_cast<double>(MiB(12 * 96).n) * 4 / 64);
  EXPECT_FALSE(stream.lookup);
}

// What the streamer takes of its budget for itself: pages, and on the CPU what experts go through.
TEST(Streamed, ItsBudgetHoldsWhatPassesThroughToo) {
  for (const char* way : {"auto", "extreme", "4"}) {
    for (const ModelCard& card : {read_card_of(), expert_card()}) {
      Wish wish = wish_of(card);
      wish.stream = *parse_stream_wish(way);
      const Placement model = planned(machine_with(GiB(16)), wish, MiB(1'000)).models[0];
      const bool all = card.experts == 0 && wish.stream.streaming == Streaming::kAuto;
      ASSERT_EQ(model.stream.has_value(), !all) << way;
      if (all) continue;
      const StreamPlan& stream = *model.stream;
      const Bytes weights = stream.resident + stream.ring + stream.experts;
      const uint64_t room =
          (stream.device_budget - model.needs[0].kv - llama_graph_bytes(wish)).n - kPageSlack;
      EXPECT_EQ(room - weights.n, card.experts == 0 ? 0 : staging_bytes(room)) << way;
    }
  }
  Machine machine = machine_with(GiB(16), {MiB(900)});
  Wish wish = wish_of(expert_card());
  wish.stream = *parse_stream_wish("extreme");
  const Placement beside = planned(machine, wish, GiB(2)).models[0];
  ASSERT_TRUE(beside.stream);
  ASSERT_EQ(beside.stream->device, "gpu0");
  EXPECT_GE(beside.on(kHost), beside.stream->host_budget + Bytes{2 * kStagingLeast});
}

TEST(Streamed, OnTheCpuSpeedIsDiskAndMemory) {
  const Wish wish = wish_of(read_card_of());
  const Plan plan = planned(measured_machine(), wish, MiB(400));
  const Placement& model = plan.models[0];
  ASSERT_TRUE(model.stream);
  EXPECT_FALSE(model.speed.prefill);  // no rate of multiplying was measured
  EXPECT_TRUE(model.stream->lookup);
  Machine fast_disk = measured_machine();
  fast_disk.disk.read_bytes_per_s = 1e12;
  const Placement bound = planned(fast_disk, wish, MiB(400)).models[0];
  EXPECT_LT(*bound.speed.decode, 20e9 / static_cast<double>(MiB(400).n));
  EXPECT_NEAR(1 / *model.speed.decode - 1 / *bound.speed.decode,
              model.stream->per_token / 2e9 - bound.stream->per_token / 1e12, 1e-6);
  EXPECT_FALSE(bound.stream->lookup);
  EXPECT_FALSE(planned(machine_with(GiB(16)), wish, MiB(400)).models[0].speed.decode);
}

TEST(Streamed, AnAcceleratorStreamsFromHostMemory) {
  Machine machine = machine_with(GiB(16), {MiB(800)});
  Wish wish = wish_of(read_card_of());
  wish.stream = *parse_stream_wish("extreme");
  const Placement model = planned(machine, wish, GiB(2)).models[0];
  ASSERT_TRUE(model.stream);
  EXPECT_EQ(model.stream->device, "gpu0");
  EXPECT_EQ(model.stream->host_budget, model.stream->streamed);
  EXPECT_EQ(model.needs.size(), 2U);
  EXPECT_LE(model.on("gpu0"), MiB(800));
  // Tight host memory: the rest comes from disk.
  const Placement tight = planned(machine, wish, MiB(500)).models[0];
  ASSERT_TRUE(tight.stream);
  EXPECT_LT(tight.stream->host_budget, tight.stream->streamed);
}

TEST(Streamed, BesideAnAcceleratorOnlyWhereItIsFaster) {
  Machine machine = machine_with(GiB(16), {MiB(600)});
  const Wish wish = wish_of(read_card_of());
  EXPECT_FALSE(planned(machine, wish, GiB(8)).models[0].stream);  // nothing is known
  machine.devices[0].bandwidth.memory_bytes_per_s = 5e9;
  machine.devices[1].bandwidth.memory_bytes_per_s = 400e9;
  machine.devices[1].bandwidth.host_copy_bytes_per_s = 25e9;
  const Placement streamed = planned(machine, wish, GiB(8)).models[0];
  ASSERT_TRUE(streamed.stream);
  EXPECT_GT(*streamed.speed.decode, 25);
  machine.devices[0].bandwidth.memory_bytes_per_s = 80e9;
  EXPECT_FALSE(planned(machine, wish, GiB(8)).models[0].stream);
}

}  // namespace
}  // namespace gantry
