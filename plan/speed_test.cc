// Tests of predictions against arithmetic by hand; bench/speed compares them with this machine.
#include "plan/speed.h"

#include <gtest/gtest.h>

#include <cmath>

#include "plan/need.h"
#include "plan/stream.h"

namespace gantry {
namespace {

constexpr double kLayerBytes = 18e6;  // of Q4_0: 32 million weights

ModelCard card_of(uint32_t layers) {
  ModelCard card;
  card.architecture = "llama";
  card.quantisation = "Q4_0";
  card.layers = layers;
  card.embd = 2048;
  card.heads = 16;
  card.heads_kv = 4;
  card.ffn = 5632;
  card.vocab = 32000;
  card.context_trained = 8192;
  card.kv.assign(layers, {512, 512, 0, 128, 128});
  for (uint32_t i = 0; i < layers; ++i) {
    TensorGroup group{Part::kLayer, static_cast<int>(i), Bytes{static_cast<uint64_t>(kLayerBytes)},
                      {}, 7};
    group.sizes.assign(6, static_cast<uint64_t>(kLayerBytes) / 6);
    card.groups.push_back(group);
  }
  card.groups.push_back({Part::kEmbedding, -1, Bytes{36'000'000}, {}, 1});
  card.groups.push_back({Part::kOutput, -1, Bytes{36'000'000}, {}, 1});
  for (const TensorGroup& group : card.groups) card.weight_bytes += group.bytes;
  card.file_bytes = card.weight_bytes + Bytes{1'000'000};
  return card;
}

Wish wish_of(ModelCard card) {
  Wish wish;
  wish.name = "m";
  wish.card = std::move(card);
  wish.context = 1024;
  wish.usage.prompt_tokens = 512;
  wish.usage.output_tokens = 256;
  return wish;
}

Machine machine_of(bool gpu = false) {
  Machine machine;
  machine.memory.total = machine.memory.available = GiB(32);
  Device cpu;
  cpu.name = kHost;
  cpu.bandwidth.memory_bytes_per_s = 20e9;
  cpu.rates = {{"Q4_0", 20e9, 200e9}, {"Q4_0/plain", 10e9, 100e9}, {"attention", 5e9, 100e9},
               {"activations", 40e9, 4e9}};
  cpu.step_s = 1e-6;
  machine.devices.push_back(cpu);
  machine.disk.read_bytes_per_s = 2e9;
  machine.disk.load_bytes_per_s = 1e9;
  if (!gpu) return machine;
  Device card;
  card.name = "gpu0";
  card.kind = DeviceKind::kGpu;
  card.total = card.free = GiB(8);
  card.bandwidth.memory_bytes_per_s = 400e9;
  card.bandwidth.host_copy_bytes_per_s = 20e9;
  card.rates = {{"Q4_0", 300e9, 20e12}, {"attention", 200e9, 10e12}, {"activations", 300e9, 1e12}};
  card.step_s = 4e-6;
  machine.devices.push_back(card);
  return machine;
}

Choice on_cpu(const Wish& wish) {
  Choice choice;
  choice.needs = needs_of(wish, "", 0, {});
  return choice;
}

Choice on_gpu(const Wish& wish, uint32_t layers) {
  Choice choice;
  choice.device = "gpu0";
  choice.resident = layers;
  choice.needs = needs_of(wish, "gpu0", layers, {});
  return choice;
}

TEST(Speed, DecodeIsBytesStepsAndAttention) {
  const Wish wish = wish_of(card_of(10));
  const Speed speed = predict_speed(machine_of(), wish, on_cpu(wish));
  ASSERT_TRUE(speed.decode);
  // 640 tokens on average, 768 cells; 10 layers of 16 heads of 128 + 128; 4 operations a byte.
  const double bytes = (10 * kLayerBytes + 36e6) / 20e9;
  const double attention = 2 * 768 * 10 * 16 * 256.0 / (5e9 * 4);
  const double steps = (10 * 22 + 6) * 1e-6;
  EXPECT_NEAR(1 / *speed.decode, bytes + attention + steps, 1e-4 * bytes);
}

TEST(Speed, PrefillIsOperations) {
  const Wish wish = wish_of(card_of(10));
  const Speed speed = predict_speed(machine_of(), wish, on_cpu(wish));
  ASSERT_TRUE(speed.prefill);
  const double matrices = 2 * 512 * 10 * 32e6 / 200e9;
  const double seconds = 512 / *speed.prefill;
  EXPECT_GT(seconds, matrices);
  EXPECT_LT(seconds, 1.25 * matrices);
}

TEST(Speed, WithoutMeasurementsFiguresAreAbsentAndCostsAreNumbers) {
  const Wish wish = wish_of(card_of(4));
  Machine machine = machine_of();
  machine.devices[0].rates.clear();
  machine.devices[0].bandwidth = {};
  machine.devices[0].step_s.reset();
  machine.disk = {};
  const Speed speed = predict_speed(machine, wish, on_cpu(wish));
  EXPECT_FALSE(speed.decode || speed.prefill || speed.load_s || speed.joules || speed.real_time);
  EXPECT_GT(use_seconds(machine, wish, on_cpu(wish)), 0);
  EXPECT_GT(load_seconds(machine, wish, on_cpu(wish)), 0);
  EXPECT_GT(use_joules(machine, wish, on_cpu(wish)), 0);
}

TEST(Speed, ADataSheetGivesTheBoundOfDecodeAlone) {
  const Wish wish = wish_of(card_of(10));
  Machine machine = machine_of();
  machine.devices[0].rates.clear();
  machine.devices[0].step_s.reset();
  const Speed speed = predict_speed(machine, wish, on_cpu(wish));
  ASSERT_TRUE(speed.decode);
  EXPECT_NEAR(*speed.decode, 20e9 / (10 * kLayerBytes + 36e6 + 768 * 10 * 2048), 0.1);
  EXPECT_FALSE(speed.prefill);
}

TEST(Speed, MoreLayersOnAFasterDeviceAreNeverSlower) {
  const Wish wish = wish_of(card_of(12));
  const Machine machine = machine_of(true);
  double last = use_seconds(machine, wish, on_cpu(wish));
  Choice one = on_gpu(wish, 1);
  // The first layers may cost: the CPU's weights lie as the file has them then.
  last = std::max(last, use_seconds(machine, wish, one));
  for (uint32_t layers = 2; layers <= 12; ++layers) {
    const double now = use_seconds(machine, wish, on_gpu(wish, layers));
    EXPECT_LE(now, last) << layers;
    last = now;
  }
}

TEST(Speed, ACommandTakesAsLongAsItsBytes) {
  Device device;
  const Accelerated work{Bytes{1000}, {}, 200, 50};
  EXPECT_FALSE(sound_seconds(device, work, 5));
  device.rates.push_back({"F32", 100, 1000});
  EXPECT_DOUBLE_EQ(*sound_seconds(device, work, 5), 1 + 10 + 2.5);
  EXPECT_FALSE(sound_seconds(device, {Bytes{1000}, {}, 0, 0}, 5));
}

TEST(Speed, ACommandGoesWhereItIsFaster) {
  Machine machine = machine_of(true);
  Wish wish;
  wish.name = "voice";
  wish.engine = EngineKind::kCommand;
  wish.declared = GiB(4);
  wish.accelerated = Accelerated{GiB(2), GiB(2), 30e9, 1e9};
  const Choice host{"", 0, needs_of(wish, "", 0, GiB(8)), {}, 0, {}};
  const Choice card{"gpu0", 0, needs_of(wish, "gpu0", 0, {}), {}, 0, {}};
  EXPECT_LT(use_seconds(machine, wish, card), use_seconds(machine, wish, host));
  EXPECT_FALSE(predict_speed(machine, wish, card).real_time);  // no rate of F32 was measured
  machine.devices[1].rates.push_back({"F32", 200e9, 10e12});
  const double read = 60 * 1e9 + static_cast<double>(GiB(2).n);
  const double seconds = 60 * 30e9 / 10e12 + read / 200e9;
  EXPECT_NEAR(*predict_speed(machine, wish, card).real_time, seconds / 60, 1e-9);
  Demand demand;
  demand.wishes = {wish};
  const auto made = plan(machine, demand);
  ASSERT_TRUE(made);
  EXPECT_NEAR(made->models[0].speed.real_time.value_or(0), seconds / 60, 1e-9);
  wish.usage.audio_s = 0;
  EXPECT_TRUE(std::isfinite(*predict_speed(machine, wish, card).real_time));
}

TEST(Speed, SplitsAreTheSumOfTheirParts) {
  const Wish wish = wish_of(card_of(10));
  Machine machine = machine_of(true);
  machine.devices.push_back(machine.devices[1]);
  machine.devices[2].name = "gpu1";
  Choice both = on_gpu(wish, 10);
  const double whole = 1 / *predict_speed(machine, wish, both).decode;
  both.splits = {{"gpu0", 5}, {"gpu1", 5}};
  const double halves = 1 / *predict_speed(machine, wish, both).decode;
  const double row = wish.card->embd * sizeof(float) / 20e9;  // out of one card, into the other
  EXPECT_NEAR(halves - whole, 2 * (10e-6 + row), 1e-9);
  machine.devices[2].rates[0].decode_bytes_per_s /= 2;
  const double slower = 1 / *predict_speed(machine, wish, both).decode;
  EXPECT_NEAR(slower - halves, (5 * kLayerBytes + 36e6) / 300e9, 1e-9);
}

TEST(Speed, StreamingOnTheCpuTakesArrivingAndComputing) {
  const Wish wish = wish_of(card_of(20));
  Machine machine = machine_of();
  const Bytes budget{needs_of(wish, "", 0, {})[0].total().n - 200'000'000};
  const auto choice = stream_choice(machine, {{kHost, budget, {}}}, wish, kHost);
  ASSERT_TRUE(choice && choice->stream);
  const Speed disk = predict_speed(machine, wish, *choice);
  ASSERT_TRUE(disk.decode && disk.prefill);
  machine.disk.read_bytes_per_s = 1e17;  // then computing alone is left, at the plain rate
  const Speed computed = predict_speed(machine, wish, *choice);
  EXPECT_GT(1 / *computed.decode, (20 * kLayerBytes + 36e6) / 10e9);
  EXPECT_NEAR(1 / *disk.decode - 1 / *computed.decode, choice->stream->per_token / 2e9, 1e-6);
  machine.disk.read_bytes_per_s.reset();
  EXPECT_FALSE(predict_speed(machine, wish, *choice).decode);
}

TEST(Speed, StreamingOnAnAcceleratorTakesTheLongerOfBoth) {
  const Wish wish = wish_of(card_of(40));
  Machine machine = machine_of(true);
  const Bytes budget{needs_of(wish, "gpu0", 40, {})[0].total().n - 400'000'000};
  const auto choice =
      stream_choice(machine, {{"gpu0", budget, {}}, {kHost, GiB(16), {}}}, wish, "gpu0");
  ASSERT_TRUE(choice && choice->stream);
  const Speed linked = predict_speed(machine, wish, *choice);
  ASSERT_TRUE(linked.decode);
  EXPECT_NEAR(1 / *linked.decode, choice->stream->per_token / 20e9, 1e-9);  // host memory holds it
  machine.devices[1].bandwidth.host_copy_bytes_per_s = 1e17;
  const Speed computed = predict_speed(machine, wish, *choice);
  EXPECT_GT(1 / *computed.decode, (40 * kLayerBytes + 36e6) / 300e9);
  EXPECT_LT(1 / *computed.decode, 1 / *linked.decode);
}

TEST(Speed, ExpertsThatAreNotUsedCostNothing) {
  ModelCard dense = card_of(8), moe = card_of(8);
  moe.experts = 32;
  moe.experts_used = 4;
  for (TensorGroup& group : moe.groups) {
    if (group.part == Part::kLayer) group.expert_bytes = group.bytes;
  }
  const Wish one = wish_of(dense), other = wish_of(moe);
  const Machine machine = machine_of();
  const double all = 1 / *predict_speed(machine, one, on_cpu(one)).decode;
  const double some = 1 / *predict_speed(machine, other, on_cpu(other)).decode;
  const double saved = 8 * kLayerBytes * (1 - 4.0 / 32) / 20e9;
  EXPECT_NEAR(all - some, saved - 8 * 12 * 1e-6, 1e-6);
}

TEST(Speed, LongerContextsAreSlower) {
  Wish wish = wish_of(card_of(10));
  wish.context = 8192;
  const Machine machine = machine_of();
  double last_decode = 1e9, last_prefill = 1e9;
  for (const double tokens : {512.0, 2048.0, 6000.0}) {
    wish.usage.prompt_tokens = tokens;
    const Speed speed = predict_speed(machine, wish, on_cpu(wish));
    EXPECT_LT(*speed.decode, last_decode);
    EXPECT_LT(*speed.prefill, last_prefill);
    last_decode = *speed.decode;
    last_prefill = *speed.prefill;
  }
}

TEST(Speed, TypesWithoutARateAreGuessesUnlessFew) {
  ModelCard card = card_of(10);
  card.quantisation = "Q2_K";
  Wish wish = wish_of(card);
  EXPECT_FALSE(predict_speed(machine_of(), wish, on_cpu(wish)).decode);
  EXPECT_GT(use_seconds(machine_of(), wish, on_cpu(wish)), 0);
  card.quantisation = "Q4_0";
  card.groups[0].types = {{"F32", 8192}, {"Q4_0", 17'991'808}};
  wish.card = card;
  EXPECT_TRUE(predict_speed(machine_of(), wish, on_cpu(wish)).decode);
}

TEST(Speed, LoadingReadsTheFile) {
  const Wish wish = wish_of(card_of(10));
  const double read = 1e-9 * static_cast<double>(wish.card->weight_bytes.n);
  const Speed speed = predict_speed(machine_of(), wish, on_cpu(wish));
  ASSERT_TRUE(speed.load_s);
  EXPECT_GT(*speed.load_s, read);
  EXPECT_LT(*speed.load_s, read + 1);
}

TEST(Speed, WhatIsRearrangedLoadsSlower) {
  const Wish wish = wish_of(card_of(10));
  Machine machine = machine_of();
  const double before = load_seconds(machine, wish, on_cpu(wish));
  machine.devices[0].rates.push_back({"Q4_0/rearranging", 1e9, 2e9});
  EXPECT_NEAR(load_seconds(machine, wish, on_cpu(wish)) - before,
              (10 * kLayerBytes + 36e6) / 1e9, 1e-9);
}

TEST(Speed, JoulesNeedPowers) {
  const Wish wish = wish_of(card_of(10));
  Machine machine = machine_of();
  EXPECT_FALSE(predict_speed(machine, wish, on_cpu(wish)).joules);
  machine.devices[0].power_limit_w = 50;
  const auto joules = predict_speed(machine, wish, on_cpu(wish)).joules;
  ASSERT_TRUE(joules);
  EXPECT_NEAR(*joules, 50 * use_seconds(machine, wish, on_cpu(wish)), 1e-6);
}

TEST(Speed, AQueueSharesItsPasses) {
  Wish wish = wish_of(card_of(10));
  wish.parallel = 4;
  const double alone = use_seconds(machine_of(), wish, on_cpu(wish));
  wish.latency = Latency::kBatch;
  EXPECT_LT(use_seconds(machine_of(), wish, on_cpu(wish)), alone);
}

TEST(Speed, WhisperWorksFasterThanSound) {
  ModelCard card;
  card.format = ModelFormat::kWhisper;
  card.quantisation = "Q4_0";
  card.layers = 4;
  card.audio_layers = 4;
  card.embd = 384;
  card.heads = 6;
  card.ffn = 1536;
  card.vocab = 51865;
  card.audio_context = 1500;
  card.text_context = 448;
  card.groups = {{Part::kEncoder, -1, Bytes{4'000'000}, {}, 60},
                 {Part::kLayer, 0, Bytes{5'000'000}, {}, 60},
                 {Part::kEmbedding, -1, Bytes{12'000'000}, {}, 2}};
  card.weight_bytes = card.file_bytes = Bytes{21'000'000};
  Wish wish = wish_of(card);
  wish.engine = EngineKind::kWhisper;
  Machine machine = machine_of();
  machine.devices[0].rates.push_back({"attention/flash", 6e9, 120e9});
  const Speed speed = predict_speed(machine, wish, on_cpu(wish));
  ASSERT_TRUE(speed.real_time);
  EXPECT_FALSE(speed.decode || speed.prefill);
  // Two operations a weight and frame of the encoder alone, then everything else.
  const double encoder = 2 * 1500 * 4e6 * 32 / 18 / 200e9 / 30;
  EXPECT_GT(*speed.real_time, encoder);
  EXPECT_LT(*speed.real_time, 0.2);
  EXPECT_NEAR(use_seconds(machine, wish, on_cpu(wish)), 60 * *speed.real_time, 1e-9);
}

TEST(Speed, CommandsAndMediaHaveACost) {
  for (const EngineKind engine : {EngineKind::kCommand, EngineKind::kMedia}) {
    Wish wish;
    wish.engine = engine;
    EXPECT_GT(use_seconds(machine_of(), wish, {}), 0);
    EXPECT_GT(load_seconds(machine_of(), wish, {}), 0);
    EXPECT_FALSE(predict_speed(machine_of(), wish, {}).decode);
  }
}

}  // namespace
}  // namespace gantry
