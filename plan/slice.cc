// Rows are cut as the engine cuts them, in its own single precision.
#include "plan/slice.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "plan/need.h"

namespace gantry {

namespace {

// Architectures whose graphs llama.cpp cuts (llm_arch_supports_sm_tensor); of those, the ones whose
// bytes were compared with the engine's (lab/plan).
constexpr std::array<std::string_view, 9> kArchitectures = {
    "llama", "qwen2", "qwen3", "qwen3moe", "gemma2", "gemma3", "phi2", "phi3", "granite"};
// They add up partial results on the devices (ggml_backend_comm_init): NCCL or kernels of ggml's
// own. Vulkan, whose buffers come in several pieces, ends the program.
constexpr std::array<std::string_view, 3> kBackends = {"CUDA", "ROCm", "SYCL"};
constexpr uint64_t kFastRow = 128;  // elements: slices are multiples of it where heads allow
constexpr double kFloat = 4, kHalf = 2;
// Larger sums travel in BF16: ggml-cuda.cu and ggml-sycl.cpp.
constexpr double kSmallSum = 32768;
constexpr uint32_t kSumsInLayer = 2;  // after attention, after the feed-forward part

// Of `length` elements, in pieces of `grain`, to each device: the engine's own arithmetic.
std::vector<uint64_t> pieces(uint64_t length, uint64_t grain, const std::vector<Split>& splits,
                             size_t rotation) {
  const size_t n = splits.size();
  std::vector<float> scan(n);
  for (size_t i = 0; i < n; ++i) {
    scan[i] = static_cast<float>(splits[(i + rotation) % n].share) + (i > 0 ? scan[i - 1] : 0.0F);
  }
  std::vector<uint64_t> out(n, 0);
  uint64_t low = 0;
  for (size_t i = 0; i < n; ++i) {
    uint64_t high = length;
    if (i + 1 < n) {
      high = static_cast<uint64_t>(static_cast<float>(length) * scan[i] / scan.back());
      high -= high % grain;
    }
    out[(i + rotation) % n] = high - low;
    low = high;
  }
  return out;
}

// Whole groups of query heads with their K and V head, and whole blocks.
uint64_t head_grain(const Sliced& heads, const LayerKv& kv, size_t devices) {
  const uint64_t count = heads.row / kv.v_head;
  const uint64_t queries = count / (kv.k_width / kv.k_head) * kv.k_head;
  uint64_t block = heads.block;
  while (block < kFastRow && block * devices < queries) block *= 2;
  return std::lcm(queries, block) / kv.k_head * kv.v_head;
}

uint64_t width_grain(const Sliced& width) { return std::lcm(uint64_t{width.block}, kFastRow); }

// A wish whose layers can be cut has this of each.
bool is_cut(const TensorGroup& group, const LayerKv& kv) {
  return group.heads.row > 0 && group.width.row > 0 && group.heads.block > 0 &&
         group.width.block > 0 && kv.k_head > 0 && kv.v_head > 0 && kv.k_width >= kv.k_head &&
         kv.k_width % kv.k_head == 0 && group.heads.row % kv.v_head == 0 &&
         (group.heads.row / kv.v_head) % (kv.k_width / kv.k_head) == 0 &&
         group.heads.row < (1U << 24) && group.width.row < (1U << 24);  // exact in a float
}

uint64_t part_of(uint64_t bytes, uint64_t piece, uint64_t whole) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<uint64_t>((Wide{bytes} * piece + whole - 1) / whole);
}

const Device* device_of(const Machine& machine, const std::string& name) {
  const auto found = std::ranges::find(machine.devices, name, &Device::name);
  return found == machine.devices.end() ? nullptr : &*found;
}

}  // namespace

bool can_slice(const Wish& wish) {
  if (wish.engine != EngineKind::kLlama || !wish.card || wish.embeddings || !flash_of(wish)) {
    return false;
  }
  const ModelCard& card = *wish.card;
  if (card.kv.size() != card.layers || card.layers == 0 || card.state_bytes.n > 0 ||
      std::ranges::find(kArchitectures, card.architecture) == kArchitectures.end()) {
    return false;
  }
  size_t cut = 0;
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer || group.layer < 0) continue;
    const auto layer = static_cast<size_t>(group.layer);
    if (layer >= card.kv.size() || !is_cut(group, card.kv[layer])) return false;
    ++cut;
  }
  return cut == card.layers;
}

std::vector<std::string> slicing_devices(const Machine& machine,
                                         const std::vector<std::string>& among) {
  std::vector<std::string> best;
  for (const std::string_view backend : kBackends) {
    std::vector<std::string> group;
    for (const std::string& name : among) {
      const Device* device = device_of(machine, name);
      if (device == nullptr || device->kind != DeviceKind::kGpu ||
          !device->backend.starts_with(backend) ||
          device->bandwidth.host_copy_bytes_per_s.value_or(0) <= 0) {
        continue;
      }
      group.push_back(name);
    }
    if (group.size() > best.size()) best = group;
  }
  return best.size() < 2 ? std::vector<std::string>{} : best;
}

Slicing::Slicing(const Wish& wish) : wish_(wish), layers_(wish.card->layers) {
  const ModelCard& card = *wish.card;
  for (const TensorGroup& group : card.groups) {
    if (group.part == Part::kLayer) layers_[static_cast<size_t>(group.layer)].weights = &group;
  }
  std::array<uint32_t, 2> seen{};
  for (uint32_t i = 0; i < card.layers; ++i) {
    layers_[i].kv = layer_kv(wish, i, 1).n;
    layers_[i].alike = seen[card.kv[i].window > 0 ? 1 : 0]++;
  }
}

std::optional<std::vector<Need>> Slicing::needs(const std::vector<Split>& splits) {
  const ModelCard& card = *wish_.card;
  const size_t n = splits.size();
  if (!host_) {
    std::vector<Need> single = needs_of(wish_, splits.front().device, card.layers, {});
    graph_ = std::move(single.front());
    host_ = std::move(single.back());
  }
  std::vector<Need> out(n + 1, Need{"", {}, {}, {}, kAcceleratorDevice});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const TensorGroup& weights = *layers_[i].weights;
    const size_t rotation = layers_[i].alike % n;
    const auto heads =
        pieces(weights.heads.row, head_grain(weights.heads, card.kv[i], n), splits, rotation);
    const auto width =
        pieces(weights.width.row, width_grain(weights.width), splits, rotation);
    const Bytes whole = weights.bytes - Bytes{weights.heads.bytes} - Bytes{weights.width.bytes};
    for (size_t d = 0; d < n; ++d) {
      if (heads[d] == 0 || width[d] == 0) return std::nullopt;
      out[d].weights += whole +
                        Bytes{part_of(weights.heads.bytes, heads[d], weights.heads.row)} +
                        Bytes{part_of(weights.width.bytes, width[d], weights.width.row)};
      out[d].kv += Bytes{part_of(layers_[i].kv, heads[d], weights.heads.row)};
    }
  }
  Bytes head = is_tied(card) ? card.bytes_in(Part::kEmbedding) : Bytes{};
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kOutput) continue;
    head += group.bytes - Bytes{group.width.bytes};
    if (group.width.row == 0) continue;
    const auto words = pieces(group.width.row, 1, splits, card.layers % n);
    for (size_t d = 0; d < n; ++d) {
      out[d].weights += Bytes{part_of(group.width.bytes, words[d], group.width.row)};
    }
  }
  const bool encoder = wish_.mmproj && !wish_.encoder_on_cpu;
  const Bytes picture = encoder ? vision_graph_bytes(wish_) : Bytes{};
  for (size_t d = 0; d < n; ++d) {
    out[d].device = splits[d].device;
    out[d].weights += head;
    out[d].compute = graph_->compute - picture + reduction_bytes(wish_, n);
    if (d > 0) continue;
    if (encoder) out[d].weights += encoder_weights(*wish_.mmproj);
    out[d].compute += picture;
  }
  out[n] = *host_;
  out[n].overhead += Bytes{(n - 1) * kAcceleratorHost.n};
  return out;
}

std::vector<std::vector<Portion>> portions(const Wish& wish, const std::vector<Split>& splits) {
  const size_t n = splits.size();
  std::vector<std::vector<Portion>> out(n, std::vector<Portion>(n));
  const auto first = std::ranges::find_if(wish.card->groups, [](const TensorGroup& group) {
    return group.part == Part::kLayer && group.layer == 0;
  });
  if (first == wish.card->groups.end()) return out;
  for (size_t rotation = 0; rotation < n; ++rotation) {
    const auto heads =
        pieces(first->heads.row, head_grain(first->heads, wish.card->kv[0], n), splits, rotation);
    const auto width = pieces(first->width.row, width_grain(first->width), splits, rotation);
    for (size_t d = 0; d < n; ++d) {
      out[rotation][d] = {
          static_cast<double>(heads[d]) / static_cast<double>(first->heads.row),
          static_cast<double>(width[d]) / static_cast<double>(first->width.row)};
    }
  }
  return out;
}

PartWork sliced_work(const ModelCard& card, const PartWork& whole, const Portion& portion,
                     double words) {
  double heads = 0, width = 0, experts = 0, all = 0;
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer) continue;
    heads += static_cast<double>(group.heads.bytes);
    width += static_cast<double>(group.width.bytes);
    experts += static_cast<double>(group.expert_bytes.n);
    all += static_cast<double>(group.bytes.n);
  }
  const double dense = std::max(all - experts, 1.0);
  const double cut = heads * portion.heads + std::max(width - experts, 0.0) * portion.width;
  const double part = std::min(1.0, (cut + std::max(all - heads - width, 0.0)) / dense);
  PartWork out = whole;
  for (Matrices& one : out.layers) {
    one.bytes *= one.experts ? portion.width : part;
    one.weights *= one.experts ? portion.width : part;
  }
  for (Matrices& one : out.output) {
    one.bytes *= words;
    one.weights *= words;
  }
  out.score_width *= portion.heads;
  for (auto& [window, width_of] : out.windows) width_of *= portion.heads;
  out.cache_bytes *= portion.heads;
  return out;
}

std::optional<double> link_between(const Machine& machine, const std::vector<Split>& splits) {
  double slowest = HUGE_VAL;
  for (size_t a = 0; a < splits.size(); ++a) {
    for (size_t b = a + 1; b < splits.size(); ++b) {
      const Device* one = device_of(machine, splits[a].device);
      const Device* other = device_of(machine, splits[b].device);
      if (one == nullptr || other == nullptr) return std::nullopt;
      const double x = one->bandwidth.host_copy_bytes_per_s.value_or(0);
      const double y = other->bandwidth.host_copy_bytes_per_s.value_or(0);
      if (x <= 0 || y <= 0) return std::nullopt;
      slowest = std::min(slowest, 1 / (1 / x + 1 / y));
    }
  }
  return splits.size() < 2 ? std::nullopt : std::optional<double>(slowest);
}

Reduction reduction_of(const Wish& wish, size_t devices, double tokens) {
  const ModelCard& card = *wish.card;
  const double elements = tokens * card.embd, n = static_cast<double>(devices);
  const double bytes = elements * (elements < kSmallSum ? kFloat : kHalf);
  const double sums = kSumsInLayer * static_cast<double>(card.layers);
  // A ring: of two, each sends all of its own once.
  return {sums * bytes * 2 * (n - 1) / n, sums * std::ceil(std::log2(n))};
}

Bytes reduction_bytes(const Wish& wish, size_t devices) {
  const ModelCard& card = *wish.card;
  const uint64_t steps = std::bit_width(devices - 1);
  const uint64_t tokens = std::min(wish.ubatch, std::max(context_of(wish), 1U));
  const uint64_t columns = card.experts > 0 ? std::max(card.experts_used, 1U) : 1;
  return Bytes{product({steps, 4, card.embd, tokens, columns})};
}

}  // namespace gantry
