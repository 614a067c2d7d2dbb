// Slots for experts, and the routers' choices rewritten to them.
#include "stream/bank.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "ggml-backend.h"

namespace gantry {
namespace {

using Clock = std::chrono::steady_clock;

using Shape = std::vector<std::tuple<int, int64_t, int64_t>>;  // type and matrix of each part

Shape shape_of(const WeightGroup& bank) {
  Shape shape;
  for (const Weight* weight : bank) {
    shape.emplace_back(weight->tensor->type, weight->tensor->ne[0], weight->tensor->ne[1]);
  }
  return shape;
}

uint64_t slice_of(const Weight& weight) { return weight.tensor->nb[2]; }

uint64_t expert_bytes(const WeightGroup& bank) {
  uint64_t bytes = 0;
  for (const Weight* weight : bank) bytes += slice_of(*weight);
  return bytes;
}

size_t experts_of(const WeightGroup& bank) {
  return static_cast<size_t>(bank[0]->tensor->ne[2]);
}

struct Class {
  uint64_t slot = 0;   // bytes of one expert
  size_t least = 0;    // slots
  size_t most = 0;     // slots that hold everything
  std::vector<size_t> banks;
};

std::map<Shape, Class> classes_of(const std::vector<WeightGroup>& banks) {
  std::map<Shape, Class> classes;
  for (size_t i = 0; i < banks.size(); i++) {
    Class& entry = classes[shape_of(banks[i])];
    entry.slot = expert_bytes(banks[i]);
    entry.least = std::max(entry.least, experts_of(banks[i]));
    entry.most += experts_of(banks[i]);
    entry.banks.push_back(i);
  }
  return classes;
}

// Devices pad the end of a matrix.
constexpr uint64_t kPadding = 4096;
// Choices of 2,048 tokens for 8 experts each; larger batches take more, past the budget.
constexpr uint64_t kChoices = 64 << 10;

}  // namespace

uint64_t ExpertBanks::least_bytes(const std::vector<WeightGroup>& banks) {
  uint64_t bytes = 0;
  for (const auto& [shape, entry] : classes_of(banks)) {
    bytes += entry.least * entry.slot + kPadding * (shape.size() + 1);
  }
  return banks.empty() ? 0 : bytes + kChoices + kPadding;
}

Result<std::unique_ptr<ExpertBanks>> ExpertBanks::make(const Inner& inner,
                                                       const std::vector<WeightGroup>& banks,
                                                       uint64_t bytes,
                                                       std::vector<std::vector<Part>> sources,
                                                       Loader& loader, StatsPage& stats,
                                                       Trace& trace) {
  std::unique_ptr<ExpertBanks> out(new ExpertBanks(inner, loader, stats, trace));
  for (size_t i = 0; i < banks.size(); i++) {
    Bank& bank = out->banks_.emplace_back();
    bank.weights = banks[i];
    bank.sources = std::move(sources[i]);
    bank.layer = banks[i][0]->layer.value_or(0);
    bank.experts = static_cast<uint32_t>(experts_of(banks[i]));
    bank.bytes = expert_bytes(banks[i]);
    for (Weight* weight : banks[i]) weight->bank = i;
  }
  if (const auto ok = out->make_pools(banks, bytes); !ok) return fail(ok.error());
  for (Bank& bank : out->banks_) {
    if (const auto ok = out->place(bank); !ok) return fail(ok.error());
  }
  return out;
}

Result<void> ExpertBanks::make_pools(const std::vector<WeightGroup>& banks, uint64_t bytes) {
  const auto classes = classes_of(banks);
  uint64_t least = 0, all = 0;
  for (const auto& [shape, entry] : classes) {
    least += entry.least * entry.slot + kPadding * (shape.size() + 1);
    all += entry.most * entry.slot;
  }
  const uint64_t spare = bytes - std::min(bytes, least + kChoices);
  for (const auto& [shape, entry] : classes) {
    const auto part = static_cast<double>(entry.most * entry.slot) / static_cast<double>(all);
    const auto extra = static_cast<uint64_t>(static_cast<double>(spare) * part) / entry.slot;
    Pool& pool = pools_.emplace_back();
    pool.slots = std::min<size_t>(entry.most, entry.least + extra);
    const WeightGroup& model = banks[entry.banks[0]];
    for (const Weight* weight : model) {
      ggml_tensor whole = *weight->tensor;
      whole.ne[2] = static_cast<int64_t>(pool.slots);
      auto buffer = inner_.allocate(std::max<uint64_t>(inner_.space(&whole),
                                                       pool.slots * slice_of(*weight)));
      if (!buffer) return fail(buffer.error());
      pool.parts.push_back(std::move(*buffer));
    }
    uint32_t experts = 0;
    for (uint32_t number = 0; number < entry.banks.size(); number++) {
      Bank& bank = banks_[entry.banks[number]];
      bank.pool = pools_.size() - 1;
      bank.number = number;
      experts = std::max(experts, bank.experts);
    }
    pool.cache = std::make_unique<ExpertCache>(
        ExpertCacheShape{static_cast<uint32_t>(entry.banks.size()), experts,
                         static_cast<uint32_t>(pool.slots)});
  }
  return {};
}

Result<void> ExpertBanks::place(Bank& bank) {
  const Pool& pool = pools_[bank.pool];
  for (size_t i = 0; i < bank.weights.size(); i++) {
    Weight& weight = *bank.weights[i];
    ggml_tensor shape = *weight.tensor;
    shape.ne[2] = static_cast<int64_t>(pool.slots);
    shape.nb[3] = shape.nb[2] * pool.slots;
    const auto placed = place_clone(weight.clone, &shape, pool.parts[i].get(),
                                    pool.parts[i].aligned());
    if (!placed) return placed;
  }
  return {};
}

uint64_t ExpertBanks::bytes() const {
  uint64_t bytes = choices_buffer_.bytes();
  for (const Pool& pool : pools_) {
    for (const auto& part : pool.parts) bytes += part.bytes();
  }
  return bytes;
}

Result<std::vector<int32_t>> ExpertBanks::read_choices(const Bank& bank,
                                                       const ggml_tensor* choices) const {
  const auto columns = static_cast<size_t>(choices->ne[0]);
  const auto rows = static_cast<size_t>(choices->ne[1]);
  std::vector<std::byte> raw(ggml_nbytes(choices));
  ggml_backend_tensor_get(choices, raw.data(), 0, raw.size());
  std::vector<int32_t> out;
  out.reserve(columns * rows);
  for (size_t row = 0; row < rows; row++) {
    for (size_t column = 0; column < columns; column++) {
      int32_t expert = 0;
      std::memcpy(&expert, raw.data() + row * choices->nb[1] + column * choices->nb[0],
                  sizeof expert);
      if (expert < 0 || static_cast<uint32_t>(expert) >= bank.experts) {
        return fail(Code::kInternal, "a router chose expert " + std::to_string(expert) + " of " +
                                         std::to_string(bank.experts));
      }
      out.push_back(expert);
    }
  }
  return out;
}

// Moves whole experts: every part of each, neighbours in the file in one read.
Result<void> ExpertBanks::fetch(const Bank& bank, const std::vector<ExpertMove>& moves) {
  const Pool& pool = pools_[bank.pool];
  std::vector<Part> parts;
  std::vector<std::pair<size_t, uint64_t>> places;  // weight, offset in its pool
  for (const ExpertMove& move : moves) {
    for (size_t i = 0; i < bank.weights.size(); i++) {
      const uint64_t slice = slice_of(*bank.weights[i]);
      Part part = bank.sources[i];
      part.source.offset += slice * move.expert;
      if (part.source.host != nullptr) part.source.host += slice * move.expert;
      part.bytes = part.space = slice;
      parts.push_back(part);
      places.emplace_back(i, slice * move.slot);
    }
  }
  const Image image = lay_staged(parts, 1);
  LoadJob job;
  job.parts = &parts;
  job.image = &image;
  job.name = bank.weights[0]->tensor->name;
  job.sink = [&](size_t part, uint64_t offset, const std::byte* data, size_t bytes) {
    const auto [weight, at] = places[part];
    if (inner_.host) {
      std::memcpy(pool.parts[weight].aligned() + at + offset, data, bytes);
    } else {
      ggml_backend_tensor_set(&bank.weights[weight]->clone, data, at + offset, bytes);
      stats_.copy_bytes += bytes;
    }
  };
  return loader_.load(std::move(job));
}

Result<ggml_tensor*> ExpertBanks::show(const ggml_tensor* choices,
                                       const std::vector<int32_t>& slots) {
  const uint64_t bytes = slots.size() * sizeof(int32_t);
  if (!choices_buffer_ || choices_buffer_.bytes() < bytes + kPadding) {
    auto buffer = inner_.allocate(std::max(kChoices, 2 * bytes) + kPadding);
    if (!buffer) return fail(buffer.error());
    choices_buffer_ = std::move(*buffer);
  }
  ggml_tensor shape = *choices;
  shape.nb[1] = shape.nb[0] * static_cast<size_t>(shape.ne[0]);
  shape.nb[2] = shape.nb[3] = shape.nb[1] * static_cast<size_t>(shape.ne[1]);
  shape.op = GGML_OP_NONE;
  std::fill(std::begin(shape.src), std::end(shape.src), nullptr);
  const auto placed = place_clone(choices_, &shape, choices_buffer_.get(),
                                  choices_buffer_.aligned());
  if (!placed) return fail(placed.error());
  ggml_backend_tensor_set(&choices_, slots.data(), 0, bytes);
  return &choices_;
}

Result<ggml_tensor*> ExpertBanks::prepare(size_t index, const ggml_tensor* choices) {
  const auto from = Clock::now();
  const Bank& bank = banks_[index];
  Pool& pool = pools_[bank.pool];
  auto chosen = read_choices(bank, choices);
  if (!chosen) return fail(chosen.error());
  std::vector<uint32_t> used(chosen->begin(), chosen->end());
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  const auto moves = pool.cache->use(bank.number, used);
  if (!moves) return fail(moves.error());
  if (!moves->empty()) {
    if (const auto ok = fetch(bank, *moves); !ok) {
      for (const ExpertMove& move : *moves) pool.cache->drop(bank.number, move.expert);
      return fail(ok.error());
    }
  }
  for (int32_t& expert : *chosen) {
    expert = static_cast<int32_t>(*pool.cache->slot(bank.number, static_cast<uint32_t>(expert)));
  }
  stats_.expert_hits += used.size() - moves->size();
  stats_.expert_misses += moves->size();
  stats_.expert_bytes += moves->size() * bank.bytes;
  stats_.expert_used_bytes += used.size() * bank.bytes;
  const auto layer = std::min<uint32_t>(bank.layer, kStatsLayersMax - 1);
  stats_.per_layer[layer].loaded_bytes += moves->size() * bank.bytes;
  const auto took = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - from).count());
  stats_.stall_ns += took;
  stats_.per_layer[layer].stall_ns += took;
  if (trace_.on()) {
    trace_.add(TraceRow::kExperts, bank.weights[0]->tensor->name, from, Clock::now(),
               moves->size() * bank.bytes);
  }
  return show(choices, *chosen);
}

}  // namespace gantry
