// Cards and machines for this room's tests.
#pragma once

#include <string>

#include "base/rng.h"
#include "plan/plan.h"

namespace gantry {

struct Shape {
  uint32_t embd, layers, heads, heads_kv, ffn, vocab, trained;
};

// Like llama's, in F16, embedding and output apart.
inline ModelCard llama_card(const Shape& shape) {
  ModelCard card;
  card.architecture = "llama";
  card.layers = shape.layers;
  card.embd = shape.embd;
  card.heads = shape.heads;
  card.heads_kv = shape.heads_kv;
  card.ffn = shape.ffn;
  card.vocab = shape.vocab;
  card.context_trained = shape.trained;
  const uint32_t head = shape.embd / shape.heads, kv = shape.heads_kv * head;
  const Bytes table{2ULL * shape.vocab * shape.embd};
  const Sliced heads{4ULL * shape.embd * (shape.embd + kv), shape.embd, 1},
      width{6ULL * shape.embd * shape.ffn, shape.ffn, 1};
  const Bytes layer{2ULL * shape.embd * (2 * shape.embd + 2 * kv + 3 * shape.ffn)};
  card.groups.push_back({Part::kEmbedding, -1, table, {}, 1});
  for (int i = 0; i < static_cast<int>(shape.layers); ++i) {
    card.groups.push_back({Part::kLayer, i, layer, {}, 9, {}, {}, {}, {}, heads, width});
    card.kv.push_back({kv, kv, 0, head, head});
  }
  card.groups.push_back(
      {Part::kOutput, -1, table, {}, 2, {}, {}, {}, {}, {}, {table.n, shape.vocab, 1}});
  for (const TensorGroup& group : card.groups) card.weight_bytes += group.bytes;
  card.file_bytes = card.weight_bytes + Bytes{22ULL * shape.vocab};
  return card;
}

// The shipped one.
inline ModelCard whisper_card() {
  ModelCard card;
  card.format = ModelFormat::kWhisper;
  card.architecture = "whisper";
  card.layers = card.audio_layers = 4;
  card.embd = 96;
  card.heads = card.heads_kv = 3;
  card.ffn = 384;
  card.vocab = 51864;
  card.audio_context = 200, card.audio_mels = 80;
  card.text_context = card.context_trained = 64;
  card.groups.push_back({Part::kEmbedding, -1, Bytes{9982464}, {}, 2});
  for (int i = 0; i < 4; ++i) {
    card.groups.push_back({Part::kLayer, i, Bytes{301440}, {}, 20});
    card.kv.push_back({96, 96, 0, 32, 32});
  }
  card.groups.push_back({Part::kEncoder, -1, Bytes{1083648}, {}, 60});
  for (const TensorGroup& group : card.groups) card.weight_bytes += group.bytes;
  card.file_bytes = Bytes{12866916};
  card.state_bytes = Bytes{491520};
  return card;
}

inline Wish wish_for(const std::string& name, const ModelCard& card) {
  Wish wish{.name = name};
  wish.card = card;
  if (card.format == ModelFormat::kWhisper) wish.engine = EngineKind::kWhisper;
  return wish;
}

inline Machine machine_with(Bytes memory, const std::vector<Bytes>& cards = {}) {
  Machine machine;
  machine.id = "example";
  machine.cpu.threads = 4;
  machine.memory.total = machine.memory.available = memory;
  Device cpu;
  cpu.name = cpu.backend = "cpu";
  cpu.total = cpu.free = memory;
  machine.devices.push_back(cpu);
  for (const Bytes& bytes : cards) {
    Device gpu;
    gpu.name = "gpu" + std::to_string(machine.devices.size() - 1);
    gpu.kind = DeviceKind::kGpu;
    gpu.total = gpu.free = bytes;
    machine.devices.push_back(gpu);
  }
  return machine;
}

// The shape of a 7B model with grouped heads, here in F16.
inline constexpr Shape kSevenB = {4096, 32, 32, 8, 14336, 32000, 32768},
                       kMicro = {128, 8, 4, 2, 256, 596, 1024};

// From tiny to beyond every machine.
inline Shape random_shape(Rng& rng) {
  const uint32_t head = 32U << rng.below(3);
  const auto heads = static_cast<uint32_t>(1 + rng.below(40));
  const auto heads_kv = static_cast<uint32_t>(1 + rng.below(heads));
  return {head * heads,
          static_cast<uint32_t>(1 + rng.below(80)),
          heads,
          heads_kv,
          static_cast<uint32_t>(32 + rng.below(20'000)),
          static_cast<uint32_t>(1 + rng.below(200'000)),
          static_cast<uint32_t>(1 + rng.below(200'000))};
}

inline Demand random_demand(Rng& rng) {
  Demand demand;
  const uint64_t count = 1 + rng.below(4);
  for (uint64_t i = 0; i < count; ++i) {
    Wish wish;
    const uint64_t kind = rng.below(8);
    if (kind == 0) {
      wish.engine = EngineKind::kCommand;
      if (rng.below(2) == 0) wish.declared = Bytes{rng.below(GiB(20).n)};
    } else if (kind == 1) {
      wish.engine = EngineKind::kMedia;
    } else if (kind == 2) {
      wish = wish_for("", whisper_card());
    } else {
      wish = wish_for("", llama_card(random_shape(rng)));
      if (kind == 3) wish.card->kv.clear();
      if (kind == 4) wish.mmproj = llama_card({128, 2, 4, 4, 256, 16, 16});
      wish.context = static_cast<uint32_t>(rng.below(3) * rng.below(100'000));
      wish.parallel = static_cast<uint32_t>(1 + rng.below(4));
      wish.ubatch = static_cast<uint32_t>(1 + rng.below(1024));
      wish.flash_attention = rng.below(2) == 0;
      if (rng.below(3) == 0) wish.cache_k = wish.cache_v = CacheType::kQ8_0;
      const uint64_t streaming = rng.below(6);
      if (streaming == 0) wish.stream.streaming = Streaming::kNever;
      if (streaming == 1) {
        wish.stream = {Streaming::kAlways, static_cast<uint32_t>(rng.below(90))};
      }
    }
    if (rng.below(4) == 0) wish.measured_overhead = Bytes{rng.below(GiB(1).n)};
    wish.name = "m" + std::to_string(i);
    demand.wishes.push_back(std::move(wish));
  }
  if (rng.below(2) == 0) demand.ram = Budget{Bytes{1 + rng.below(GiB(64).n)}, std::nullopt};
  if (rng.below(3) == 0) demand.vram = Budget{std::nullopt, 0.25 + 0.25 * double(rng.below(4))};
  return demand;
}

inline Machine random_machine(Rng& rng) {
  std::vector<Bytes> cards;
  for (uint64_t i = rng.below(3); i > 0; --i) cards.push_back(Bytes{rng.below(GiB(24).n)});
  Machine machine = machine_with(Bytes{rng.below(GiB(64).n)}, cards);
  if (rng.below(3) == 0) {
    machine.memory.cgroup_limit = Bytes{rng.below(GiB(32).n)};
    machine.memory.cgroup_used = Bytes{rng.below(GiB(4).n)};
  }
  if (rng.below(2) == 0) machine.devices[0].bandwidth.memory_bytes_per_s = 2e10;
  return machine;
}

}  // namespace gantry
