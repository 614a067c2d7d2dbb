// One function for each kind of block, after llama-graph.cpp and models/*.cpp of ggml 0.25.3. The
// order of operands and of expand() is theirs: it decides what lives at the same time.
#include "plan/draw.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <string_view>

#include "model/tensor_type.h"
#include "plan/need.h"
#include "plan/sketch.h"

namespace gantry {

namespace {

using Id = Sketch::Id;
using Dims = Sketch::Dims;

constexpr uint64_t kCellStep = 256;  // cells of a cache come in steps of so many
constexpr uint64_t kRotated = 64;    // quantised caches of heads of a multiple of this are rotated
constexpr uint32_t kPipelined = 4;   // copies of inputs where batches go through several devices
constexpr size_t kAlike = 6;         // layers that are drawn where all are alike
constexpr uint64_t kRankMost = 64;   // of adapters: more is rare
constexpr size_t kRounds = 4;        // of a longer pattern: after two, free blocks still move

enum class Ffn : uint8_t { kGated, kPlain, kFused };

// How architectures differ from llama.
struct Style {
  std::string_view architecture;
  Ffn ffn = Ffn::kGated;
  bool fused_qkv = false;
  bool qkv_bias = false;
  bool biases = false;       // of all other matrices
  bool qk_norm = false;
  bool post_norm = false;
  bool beside = false;       // attention and feed-forward read the same norm
  bool scaled = false;       // the embedding before the first layer
  bool norms_weights = true; // of chosen experts
  bool rope = true;
  bool swapped = false;      // the residual is the first operand
  bool layer_norm = false;   // not in place
};
constexpr std::array kStyles = std::to_array<Style>({
    {.architecture = "llama"},
    {.architecture = "qwen2", .qkv_bias = true},
    {.architecture = "qwen3", .qk_norm = true},
    {.architecture = "qwen3moe", .qk_norm = true},
    {.architecture = "gemma2", .post_norm = true, .scaled = true},
    {.architecture = "gemma3", .qk_norm = true, .post_norm = true, .scaled = true},
    {.architecture = "phi2", .ffn = Ffn::kPlain, .qkv_bias = true, .biases = true, .beside = true,
     .layer_norm = true},
    {.architecture = "phi3", .ffn = Ffn::kFused, .fused_qkv = true},
    {.architecture = "jamba", .norms_weights = false, .rope = false, .swapped = true},
    {.architecture = "lfm2", .qk_norm = true, .swapped = true},
    {.architecture = "bert", .ffn = Ffn::kPlain, .qkv_bias = true, .biases = true, .rope = false,
     .layer_norm = true},
});

const Style& style_of(const std::string& architecture) {
  const auto found = std::ranges::find(kStyles, architecture, &Style::architecture);
  return found == kStyles.end() ? kStyles.front() : *found;
}

// What makes two layers alike.
struct Kind {
  bool attends = false, experts = false;
  uint32_t device = 0, k_width = 0, v_width = 0, window = 0;
  const TensorGroup* weights = nullptr;  // where they are copied: the first of those alike
  bool operator==(const Kind&) const = default;
};

// Of each layer; of those whose tensors have the same sizes the first one's.
using Weights = std::vector<const TensorGroup*>;

Weights weights_of(const ModelCard& card) {
  Weights out(card.layers);
  std::map<std::pair<std::vector<uint64_t>, std::vector<uint64_t>>, const TensorGroup*> alike;
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer || group.layer < 0) continue;
    if (static_cast<uint32_t>(group.layer) >= card.layers) continue;
    const auto first = alike.emplace(std::pair(group.sizes, group.expert_sizes), &group).first;
    out[static_cast<size_t>(group.layer)] = first->second;
  }
  return out;
}

// Some type stores so many elements in so many bytes.
bool could_be(uint64_t bytes, uint64_t elements) {
  for (uint32_t i = 0; i < kTensorTypeCount; ++i) {
    const TensorType* type = tensor_type(i);
    if (type == nullptr || type->block == 0 || elements % type->block != 0) continue;
    if (elements / type->block * type->bytes == bytes) return true;
  }
  return false;
}

// The last rounds are all as the one before them.
bool repeats(std::span<const Kind> kinds, size_t period, size_t rounds) {
  if (kinds.size() < (rounds + 1) * period) return false;
  const std::span<const Kind> last = kinds.last(rounds * period);
  return std::ranges::equal(last, std::span(last.data() - period, last.size()));
}

class Draw {
 public:
  Draw(const Wish& wish, const std::vector<Split>& splits, const Weights& weights,
       bool every_layer = false);
  std::vector<uint64_t> key() const;  // equal where bytes() are
  std::vector<uint64_t> bytes();

 private:
  std::vector<Kind> kinds(const std::vector<Split>& splits, const Weights& weights) const;
  void choose_layers(bool every_layer, const std::vector<Kind>& all);

  Id weight(uint64_t elements, bool favoured = false) const;
  Id norm(Id of);
  Id matrix(Id of, uint64_t rows, bool favoured = false) {
    return adapted(s_.matrix(weight(rows * s_.dims(of).a, favoured), of, rows), of);
  }
  Id adapted(Id product, Id of);
  Id biased(Id of, bool has) {
    if (!has) return of;
    return s_.in_place(s_.dims(of), {of, s_.weight(at_.device, s_.dims(of).a * Sketch::kF32)});
  }
  Id add(Id a, Id b) { return s_.in_place(s_.dims(a), {a, b}); }
  Id scale(Id of) { return s_.in_place(s_.dims(of), {of}); }
  Id rotated(Id of, Id by);
  Id mha(Id q, Id k, Id v, Id mask, uint64_t cells);
  Id attention(Id normed);
  Id encoder_attention(Id of);
  Id state_rows(Id cache, uint64_t elements, const std::function<Id(Id)>& scan = {});
  Id mamba(Id normed);
  Id mamba2(Id normed);
  Id short_convolution(Id normed);
  Id ffn(Id normed, uint64_t width);
  Id mixture(Id normed);
  Id mix(Id normed) { return at_.experts ? mixture(normed) : ffn(normed, card_.ffn); }
  void layer(bool last);
  void encoder_layer(bool last);
  void inputs();
  void head();

  const Wish& wish_;
  const ModelCard& card_;
  const Style& style_;
  mutable Sketch s_;
  std::vector<Kind> layers_;
  Kind at_;
  uint32_t devices_ = 1;
  bool all_on_devices_ = false, flash_ = false, encoder_ = false, in_head_ = false;
  uint64_t t_ = 0, cells_ = 0, streams_ = 1, outputs_ = 1, embd_ = 0;
  Id out_ids_ = Sketch::kNone, positions_ = Sketch::kNone, live_ = Sketch::kNone;
  Id mask_ = Sketch::kNone, k_index_ = Sketch::kNone, v_index_ = Sketch::kNone;
  Id window_mask_ = Sketch::kNone, window_k_ = Sketch::kNone, window_v_ = Sketch::kNone;
  Id k_turn_ = Sketch::kNone, v_turn_ = Sketch::kNone;
  Id copy_main_ = Sketch::kNone, copy_extra_ = Sketch::kNone;
  uint64_t window_cells_ = 0;
};

uint64_t up_to(uint64_t n, uint64_t step) { return (n + step - 1) / step * step; }

bool is_quantised(CacheType type) {
  return type != CacheType::kF32 && type != CacheType::kF16 && type != CacheType::kBf16;
}

Draw::Draw(const Wish& wish, const std::vector<Split>& splits, const Weights& weights,
           bool every_layer)
    : wish_(wish), card_(*wish.card), style_(style_of(card_.architecture)) {
  devices_ = static_cast<uint32_t>(splits.size()) + 1;
  uint32_t resident = 0;
  for (const Split& split : splits) resident += split.layers;
  all_on_devices_ = resident >= card_.layers;
  flash_ = flash_of(wish);
  encoder_ = is_encoder(wish);
  streams_ = std::max(wish.parallel, 1U);
  embd_ = card_.embd;
  // Of one sequence; a server gives each as many.
  const uint64_t context = std::max(context_of(wish), 1U);
  cells_ = up_to(context * streams_, kCellStep) / streams_;
  cells_ = up_to(cells_, kCellStep);
  const bool whole = encoder_ || wish.embeddings;
  const uint64_t batch = whole ? context : std::min<uint64_t>(wish.ubatch, context);
  t_ = up_to(std::min(batch, cells_ * streams_), streams_);
  outputs_ = std::min(t_, whole ? batch : answers_of(wish));
  choose_layers(every_layer, kinds(splits, weights));
}

std::vector<Kind> Draw::kinds(const std::vector<Split>& splits, const Weights& weights) const {
  std::vector<Kind> all(card_.layers);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].weights = weights[i];
    all[i].experts = weights[i] != nullptr && weights[i]->expert_bytes.n > 0;
  }
  for (size_t i = 0; i < std::min<size_t>(all.size(), card_.kv.size()); ++i) {
    const LayerKv& kv = card_.kv[i];
    all[i].attends = kv.k_width > 0;
    all[i].k_width = kv.k_width;
    all[i].v_width = kv.v_width;
    all[i].window = kv.window;
  }
  uint32_t resident = 0;
  for (const Split& split : splits) resident += split.layers;
  size_t next = card_.layers - std::min(resident, card_.layers);
  for (size_t i = 0; i < next; ++i) all[i].device = devices_ - 1;
  for (size_t d = 0; d < splits.size(); ++d) {
    for (uint32_t n = 0; n < splits[d].layers && next < all.size(); ++n) {
      all[next++].device = static_cast<uint32_t>(d);
    }
  }
  for (Kind& kind : all) {
    if (kind.device + 1 < devices_ || devices_ == 1) kind.weights = nullptr;  // never copied
  }
  return all;
}

// Of a stretch that repeats a pattern a few rounds, on each device; what follows stays in step.
void Draw::choose_layers(bool every_layer, const std::vector<Kind>& all) {
  size_t first = 0;  // of this device
  for (const Kind& kind : all) {
    if (!layers_.empty() && layers_.back().device != kind.device) first = layers_.size();
    layers_.push_back(kind);
    const std::span<const Kind> run(&layers_[first], layers_.size() - first);
    for (size_t period = 1; !every_layer && (kRounds + 1) * period <= run.size(); ++period) {
      if (!repeats(run, period, period == 1 ? kAlike : kRounds)) continue;
      layers_.resize(layers_.size() - period);
      break;
    }
  }
}

// Bytes matter only where the weight is copied to another device. A file's order of tensors says
// little, so it is a size that so many elements can have in some type, and not far from the model's
// mean; v and down get the larger one, as quantisers do.
Id Draw::weight(uint64_t elements, bool favoured) const {
  uint64_t bytes = 0;
  if (at_.weights != nullptr) {
    const double mean = card_.parameters == 0
                            ? Sketch::kF16
                            : static_cast<double>(card_.weight_bytes.n) /
                                  static_cast<double>(card_.parameters);
    const double expected = mean * static_cast<double>(elements);
    for (const auto* sizes : {&at_.weights->sizes, &at_.weights->expert_sizes}) {
      for (const uint64_t size : *sizes) {
        const auto seen = static_cast<double>(size);
        if (seen > 2 * expected || 2 * seen < expected || !could_be(size, elements)) continue;
        bytes = bytes == 0 ? size : favoured ? std::max(bytes, size) : std::min(bytes, size);
      }
    }
    if (bytes == 0) bytes = static_cast<uint64_t>(expected);
  }
  return s_.weight(at_.device, bytes);
}

Id Draw::norm(Id of) {
  const Dims dims = s_.dims(of);
  const Id normed = style_.layer_norm ? s_.op(dims, {of}) : s_.in_place(dims, {of});
  const Id scaled = s_.in_place(dims, {normed, s_.weight(at_.device, dims.a * Sketch::kF32)});
  if (!style_.layer_norm) return scaled;
  return s_.in_place(dims, {scaled, s_.weight(at_.device, dims.a * Sketch::kF32)});
}

// Adapters change all matrices of a layer.
Id Draw::adapted(Id product, Id of) {
  const Dims dims = s_.dims(product);
  for (uint32_t i = 0; i < wish_.adapters && !in_head_; ++i) {
    const Id a = s_.matrix(s_.weight(at_.device, 0), of, kRankMost);
    const Id b = s_.matrix(s_.weight(at_.device, 0), a, dims.a);
    product = add(product, scale(b));
  }
  return product;
}

// A product with a Hadamard matrix, before what is rotated is quantised.
Id Draw::rotated(Id of, Id by) {
  const Dims dims = s_.dims(of);
  const uint64_t n = s_.dims(by).a;
  const Dims flat{n, dims.count() / n};
  const Id rows = s_.strided(of) ? s_.op(flat, {of}) : s_.view(of, flat);
  return s_.view(s_.op(flat, {by, rows}), dims);
}

Id Draw::mha(Id q, Id k, Id v, Id mask, uint64_t cells) {
  const Dims shape = s_.dims(q);
  const uint64_t head = shape.a, heads = shape.b, tokens = shape.c / streams_;
  const uint64_t kv_heads = s_.dims(k).b, v_head = encoder_ ? head : at_.v_width / kv_heads;
  const uint64_t n = encoder_ ? 1 : streams_;
  q = s_.view(q, {head, heads, encoder_ ? shape.c : tokens, n}, s_.strided(q));
  const uint64_t columns = s_.dims(q).c;
  q = s_.permuted(q, {head, columns, heads, n});
  k = s_.permuted(k, {head, cells, kv_heads, n});
  Id out = Sketch::kNone;
  if (flash_) {
    v = s_.permuted(v, {v_head, cells, kv_heads, n});
    uint64_t extra = 0;
    if (encoder_ || wish_.cache_k == CacheType::kF32) k = s_.cast(k, Sketch::kF16);
    if (encoder_ || wish_.cache_v == CacheType::kF32) v = s_.cast(v, Sketch::kF16);
    // On a device a kernel of matrices reads F16: others are converted beside the result.
    if (at_.device + 1 < devices_ || (devices_ > 1 && t_ >= 32)) {
      if (!encoder_ && wish_.cache_k != CacheType::kF16 && wish_.cache_k != CacheType::kF32) {
        extra += head * cells * kv_heads * n * Sketch::kF16;
      }
      if (!encoder_ && wish_.cache_v != CacheType::kF16 && wish_.cache_v != CacheType::kF32) {
        extra += v_head * cells * kv_heads * n * Sketch::kF16;
      }
    }
    out = s_.flash({v_head, heads, columns, n}, {q, k, v, mask}, extra);
    out = s_.view(out, {v_head * heads, columns * n});
  } else {
    const Dims scores{cells, columns, heads, n};
    Id kq = s_.op(scores, {k, q});
    if (card_.architecture == "gemma2") kq = scale(scale(scale(kq)));
    kq = s_.in_place(scores, {kq, mask});
    if (encoder_) {
      v = s_.view(s_.permuted(v, {v_head, cells, kv_heads, n}), {cells, v_head, kv_heads, n}, true);
      v = s_.op({cells, v_head, kv_heads, n}, {v});
    } else {
      v = s_.permuted(v, {cells, v_head, kv_heads, n});
    }
    const Id kqv = s_.op({v_head, columns, heads, n}, {v, kq});
    out = s_.op({v_head * heads, columns * n}, {s_.permuted(kqv, {v_head, heads, columns, n})});
  }
  s_.expand(out);
  return out;
}

Id Draw::attention(Id normed) {
  const auto kv = std::ranges::find_if(card_.kv, [&](const LayerKv& layer) {
    return layer.k_width == at_.k_width && layer.v_width == at_.v_width &&
           layer.window == at_.window;
  });
  const uint64_t k_head = std::max(kv->k_head, 1U), v_head = std::max(kv->v_head, 1U);
  const uint64_t heads = std::max(card_.heads, 1U), kv_heads = at_.k_width / k_head;
  Id q, k, v;
  if (style_.fused_qkv) {
    const Id all = matrix(normed, heads * k_head + at_.k_width + at_.v_width);
    q = s_.view(all, {k_head, heads, t_}, true);
    k = s_.view(all, {k_head, kv_heads, t_}, true);
    v = s_.view(all, {v_head, kv_heads, t_}, true);
  } else {
    const bool bias = style_.qkv_bias;
    q = s_.view(biased(matrix(normed, heads * k_head), bias), {k_head, heads, t_});
    k = s_.view(biased(matrix(normed, at_.k_width), bias), {k_head, kv_heads, t_});
    v = s_.view(biased(matrix(normed, at_.v_width, true), bias), {v_head, kv_heads, t_});
  }
  if (style_.qk_norm) q = norm(q);
  if (style_.rope) q = s_.rope(q, positions_);
  if (style_.qk_norm) k = norm(k);
  if (style_.rope) k = s_.rope(k, positions_);
  const std::string_view name = card_.architecture;
  if (name.starts_with("gemma") || name.starts_with("phi")) q = scale(q);
  const bool turn_k = is_quantised(wish_.cache_k) && k_head % kRotated == 0;
  const bool turn_v = is_quantised(wish_.cache_v) && v_head % kRotated == 0;
  if (turn_k) {
    q = rotated(q, k_turn_);
    k = rotated(k, k_turn_);
  }
  if (turn_v) v = rotated(v, v_turn_);
  const bool windowed = at_.window > 0;
  const bool windows = window_cells_ > 0;  // the model has both kinds of cache
  s_.expand(q);
  s_.expand(windows ? k : v);
  s_.expand(windows ? v : k);
  const uint64_t cells = windowed ? window_cells_ : cells_;
  const uint64_t k_row = cache_row_bytes(wish_.cache_k, at_.k_width).n;
  const uint64_t v_row = cache_row_bytes(wish_.cache_v, at_.v_width).n;
  const Id k_cache = s_.cache(at_.device, k_row * cells * streams_);
  const Id v_cache = s_.cache(at_.device, v_row * cells * streams_);
  k = s_.view(k, {at_.k_width, t_}, s_.strided(k));
  s_.expand(s_.store(k_cache, k, windowed ? window_k_ : k_index_));
  if (flash_) {
    v = s_.view(v, {at_.v_width, t_}, s_.strided(v));
  } else if (s_.strided(v)) {
    v = s_.view(s_.op({at_.v_width, t_}, {v}), {1, at_.v_width * t_});
  } else {
    v = s_.view(s_.view(v, {at_.v_width, t_}), {1, at_.v_width * t_});
  }
  s_.expand(s_.store(v_cache, v, windowed ? window_v_ : v_index_));
  k = s_.view(k_cache, {k_head, kv_heads, cells, streams_}, true);
  v = s_.view(v_cache, {v_head, kv_heads, cells, streams_}, true);
  Id out = mha(q, k, v, windowed ? window_mask_ : mask_, cells);
  if (turn_v) out = rotated(out, v_turn_);
  return biased(matrix(out, embd_), style_.biases);
}

Id Draw::encoder_attention(Id of) {
  const uint64_t heads = std::max(card_.heads, 1U), head = embd_ / heads;
  const Dims dims{head, heads, t_};
  const Id q = s_.view(biased(matrix(of, embd_), true), dims);
  const Id k = s_.view(biased(matrix(of, embd_), true), dims);
  const Id v = s_.view(biased(matrix(of, embd_), true), dims);
  for (const Id part : {q, k, v}) s_.expand(part);
  return biased(matrix(mha(q, k, v, mask_, t_), embd_), style_.biases);
}

// What happens to a layer's state: one row is cleared, the rows that the batch goes on from are
// read, by `scan` where there is one, and none is copied.
Id Draw::state_rows(Id cache, uint64_t elements, const std::function<Id(Id)>& scan) {
  const Id states = s_.view(cache, {elements, streams_});
  s_.expand(s_.store(s_.view(states, {0}), Sketch::kNone, Sketch::kNone));
  const Id out = scan ? scan(states) : s_.rows({elements, streams_}, states, copy_main_);
  s_.expand(out);
  const Id others = s_.rows({elements, 0}, states, copy_extra_);
  s_.expand(s_.store(s_.view(cache, {elements, 0}), others, Sketch::kNone));
  return out;
}

Id Draw::mamba(Id normed) {
  const Mixer& m = card_.mixer;
  const uint64_t inner = m.inner, n = streams_, each = t_ / n, keep = m.kernel - 1;
  const Id conv_cache = s_.cache(at_.device, keep * inner * n * Sketch::kF32);
  const Id conv = s_.view(state_rows(conv_cache, keep * inner), {keep, inner, n});
  const Id xz = matrix(s_.view(normed, {embd_, each, n}), 2 * inner);
  Id x = s_.view(xz, {inner, each, n}, true);
  const Id z = s_.view(xz, {inner, each, n}, true);
  const Id joined = s_.op({keep + each, inner, n}, {conv, s_.permuted(x, {each, inner, n})});
  s_.expand(s_.store(s_.view(conv_cache, {keep * inner * n}),
                     s_.view(joined, {keep, inner, n}, true), Sketch::kNone));
  x = s_.op({inner, each, n}, {joined, weight(inner * m.kernel)});
  x = s_.in_place({inner, each, n}, {x, weight(inner)});
  x = scale(x);
  const Id split = matrix(x, m.steps + 2 * uint64_t{m.state});
  Id dt = s_.view(split, {m.steps, each, n}, true);
  Id b = s_.view(split, {m.state, 1, each, n}, true), c = b;
  if (card_.architecture == "jamba") {
    c = s_.view(split, {m.state, 1, each, n}, true);
    dt = norm(dt);
    b = norm(b);
    c = norm(c);
  } else {
    dt = s_.op({m.steps, each, n}, {dt});
  }
  dt = matrix(dt, inner);
  dt = s_.in_place(s_.dims(dt), {dt, weight(inner)});
  const uint64_t states = uint64_t{m.state} * inner;
  const Id cache = s_.cache(at_.device, states * n * Sketch::kF32);
  const Id wide = s_.view(x, {1, inner, each, n});
  const Id scan = state_rows(cache, states, [&](Id rows) {
    return s_.op({inner * t_ + states * n}, {s_.view(rows, {m.state, 1, inner, n}), wide, dt,
                                             weight(states), b, c, copy_main_});
  });
  s_.expand(s_.store(s_.view(cache, {states * n}), s_.view(scan, {states * n}), Sketch::kNone));
  Id y = s_.view(scan, {inner, each, n});
  y = add(y, s_.in_place({inner, each, n}, {x, weight(inner)}));
  y = s_.op({inner, each, n}, {s_.op({inner, each, n}, {z}), y});
  return s_.view(matrix(y, embd_), {embd_, t_});
}

Id Draw::mamba2(Id normed) {
  const Mixer& m = card_.mixer;
  const uint64_t inner = m.inner, n = streams_, each = t_ / n, keep = m.kernel - 1;
  const uint64_t heads = std::max(m.steps, 1U), head = inner / heads;
  const uint64_t wide = inner + 2 * uint64_t{m.groups} * m.state;
  const Id conv_cache = s_.cache(at_.device, keep * wide * n * Sketch::kF32);
  const Id conv = s_.view(state_rows(conv_cache, keep * wide), {keep, wide, n});
  const Id all = s_.view(matrix(normed, inner + wide + heads), {inner + wide + heads, each, n});
  const Id z = s_.view(all, {head, heads, each, n}, true);
  Id x = s_.view(all, {wide, each, n}, true);
  const Id joined = s_.op({keep + each, wide, n}, {conv, s_.permuted(x, {each, wide, n})});
  s_.expand(s_.store(s_.view(conv_cache, {keep * wide * n}),
                     s_.view(joined, {keep, wide, n}, true), Sketch::kNone));
  x = s_.op({wide, each, n}, {joined, weight(wide * m.kernel)});
  x = scale(s_.in_place({wide, each, n}, {x, weight(wide)}));
  const Id values = s_.view(x, {head, heads, each, n}, true);
  const Id b = s_.view(x, {m.state, m.groups, each, n}, true);
  const Id c = s_.view(x, {m.state, m.groups, each, n}, true);
  Id dt = s_.op({heads, each, n}, {s_.view(all, {heads, each, n}, true)});
  dt = s_.in_place({heads, each, n}, {dt, weight(heads)});
  const uint64_t states = uint64_t{m.state} * inner;
  const Id cache = s_.cache(at_.device, states * n * Sketch::kF32);
  const Id scan = state_rows(cache, states, [&](Id rows) {
    return s_.op({inner * t_ + states * n}, {s_.view(rows, {m.state, head, heads, n}), values, dt,
                                             weight(heads), b, c, copy_main_});
  });
  s_.expand(s_.store(s_.view(cache, {states, n}), s_.view(scan, {states, n}), Sketch::kNone));
  const Dims dims{head, heads, each, n};
  Id y = s_.view(scan, dims);
  y = add(y, s_.in_place(dims, {values, weight(heads)}));
  y = s_.op(dims, {s_.op(dims, {z}), y});
  const uint64_t groups = std::max(m.groups, 1U);
  y = norm(s_.view(y, {inner / groups, groups, each, n}));
  return matrix(s_.view(y, {inner, t_}), embd_);
}

Id Draw::short_convolution(Id normed) {
  const uint64_t n = streams_, each = t_ / n, keep = std::max(card_.mixer.kernel, 2U) - 1;
  const Id all = matrix(s_.view(normed, {embd_, each, n}), 3 * embd_);
  const Dims dims{embd_, each, n};
  const Id b = s_.view(all, dims, true), c = s_.view(all, dims, true);
  const Id x = s_.view(all, dims, true);
  const Id bx = s_.permuted(s_.in_place(dims, {b, x}), {each, embd_, n});
  const Id cache = s_.cache(at_.device, keep * embd_ * n * Sketch::kF32);
  const Id conv = s_.view(state_rows(cache, keep * embd_), {keep, embd_, n});
  const Id joined = s_.op({keep + each, embd_, n}, {conv, bx});
  s_.expand(s_.store(s_.view(cache, {keep * embd_, n}), s_.view(joined, {keep, embd_, n}, true),
                     Sketch::kNone));
  const Id out = s_.op(dims, {joined, weight(embd_ * card_.mixer.kernel)});
  const Id y = matrix(s_.in_place(dims, {c, out}), embd_);
  return s_.view(y, {embd_, t_});
}

Id Draw::ffn(Id normed, uint64_t width) {
  const Dims dims = s_.dims(normed);
  if (style_.ffn == Ffn::kFused) {
    const Id both = matrix(normed, 2 * width);
    return matrix(s_.op({width, dims.b}, {both}), embd_, true);
  }
  const Id up = biased(matrix(normed, width), style_.biases);
  if (style_.ffn == Ffn::kPlain) return biased(matrix(scale(up), embd_, true), style_.biases);
  const Id gate = matrix(normed, width);
  return matrix(s_.op({width, dims.b}, {gate, up}), embd_, true);
}

Id Draw::mixture(Id normed) {
  const uint64_t tokens = s_.dims(normed).b, used = std::max(card_.experts_used, 1U);
  const uint64_t experts = card_.experts;
  const uint64_t width = card_.expert_ffn > 0 ? card_.expert_ffn : card_.ffn;
  const Id logits = matrix(normed, experts);
  const Id probs = scale(logits);
  const Id order = s_.op({experts, tokens}, {probs});
  const Id chosen = s_.view(order, {used, tokens}, true);
  Id weights = s_.rows({1, used, tokens}, s_.view(probs, {1, experts, tokens}), chosen);
  if (style_.norms_weights) {
    const Id flat = s_.view(weights, {used, tokens});
    const Id sum = scale(s_.op({1, tokens}, {flat}));
    weights = s_.view(s_.in_place({used, tokens}, {flat, sum}), {1, used, tokens});
  }
  s_.expand(weights);
  const Id each = s_.view(normed, {embd_, 1, tokens});
  const uint64_t whole = embd_ * width * experts;
  const Dims inner{width, used, tokens};
  const Id up = s_.experts(weight(whole), each, chosen, inner);
  const Id gate = s_.experts(weight(whole), each, chosen, inner);
  Id out = s_.experts(weight(whole, true), s_.op(inner, {gate, up}), chosen, {embd_, used, tokens});
  out = s_.in_place({embd_, used, tokens}, {out, weights});
  s_.expand(out);
  std::vector<Id> parts;
  for (uint64_t i = 0; i < used; ++i) {
    parts.push_back(s_.view(out, {embd_, tokens}, true));
    s_.expand(parts.back());
  }
  Id sum = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    sum = s_.in_place({embd_, tokens}, {sum, parts[i]});
    s_.expand(sum);
  }
  if (used == 1) sum = s_.op({embd_, tokens}, {sum});
  if (card_.shared_ffn == 0) return sum;
  return add(sum, ffn(normed, card_.shared_ffn));
}

void Draw::layer(bool last) {
  Id before = live_;
  Id normed = norm(before);
  const bool recurs = !at_.attends;
  Id now = !recurs                      ? attention(normed)
           : card_.mixer.inner == 0     ? short_convolution(normed)
           : card_.mixer.groups > 0     ? mamba2(normed)
                                        : mamba(normed);
  const auto cut = [&](Id id) { return s_.rows({embd_, outputs_}, id, out_ids_); };
  if (last) {
    now = cut(now);
    before = cut(before);
    if (style_.beside) normed = cut(normed);
  }
  if (card_.ffn == 0 && !at_.experts) {  // nothing but the mixer
    live_ = add(now, before);
    return;
  }
  if (style_.beside) {
    live_ = add(add(now, mix(normed)), before);
    return;
  }
  if (style_.post_norm) now = norm(now);
  if (card_.architecture.starts_with("granite")) now = scale(now);
  const Id between = style_.swapped ? add(before, now) : add(now, before);
  Id out = mix(norm(between));
  if (style_.post_norm) out = norm(out);
  if (card_.architecture.starts_with("granite")) out = scale(out);
  live_ = style_.swapped || style_.ffn == Ffn::kFused ? add(between, out) : add(out, between);
}

void Draw::encoder_layer(bool last) {
  Id before = live_;
  Id now = encoder_attention(before);
  if (last) {
    now = s_.rows({embd_, outputs_}, now, out_ids_);
    before = s_.rows({embd_, outputs_}, before, out_ids_);
  }
  const Id between = norm(add(now, before));
  live_ = norm(add(mix(between), between));
}

void Draw::inputs() {
  const uint32_t mask = flash_ ? Sketch::kF16 : Sketch::kF32;
  uint64_t v_most = 0;
  for (const LayerKv& kv : card_.kv) {
    v_most = std::max<uint64_t>(v_most, kv.v_width);
    if (kv.window == 0) continue;
    const uint64_t needed = uint64_t{kv.window} + std::min<uint64_t>(wish_.ubatch, t_);
    window_cells_ = up_to(std::min(cells_, needed), kCellStep);
  }
  const uint64_t v_rows = flash_ ? t_ : t_ * v_most;
  if (encoder_) {
    mask_ = s_.input({t_, t_}, mask);
  } else {
    mask_ = s_.input({cells_, t_ / streams_, 1, streams_}, mask);
    k_index_ = s_.input({t_}, Sketch::kI64);
    v_index_ = s_.input({v_rows}, Sketch::kI64);
  }
  if (window_cells_ > 0) {
    window_mask_ = s_.input({window_cells_, t_ / streams_, 1, streams_}, mask);
    window_k_ = s_.input({t_}, Sketch::kI64);
    window_v_ = s_.input({v_rows}, Sketch::kI64);
  }
  uint64_t turn = kRotated;
  uint64_t head = 0;
  for (const LayerKv& kv : card_.kv) head = std::max<uint64_t>(head, kv.k_head);
  while (head > 0 && head % (turn * 2) == 0) turn *= 2;
  k_turn_ = s_.input({turn, turn}, Sketch::kF32);
  v_turn_ = s_.input({kRotated, kRotated}, Sketch::kF32);
  positions_ = s_.input({t_}, Sketch::kI32);
  const Id copies = s_.input({streams_}, Sketch::kI32);
  copy_main_ = s_.view(copies, {streams_});
  copy_extra_ = s_.view(copies, {0});
  out_ids_ = s_.input({outputs_}, Sketch::kI32);
}

void Draw::head() {
  at_ = layers_.back();
  in_head_ = true;
  live_ = encoder_ ? live_ : norm(live_);
  s_.keep(live_);
  s_.expand(live_);
  if (encoder_ || card_.vocab == 0) return;
  Id logits = matrix(live_, card_.vocab);
  if (card_.architecture == "gemma2") logits = scale(scale(scale(logits)));
  if (card_.architecture.starts_with("granite")) logits = scale(logits);
  logits = biased(logits, style_.biases);
  s_.keep(logits);
  s_.expand(logits);
}

std::vector<uint64_t> Draw::key() const {
  std::vector<uint64_t> out{devices_, all_on_devices_ ? 1U : 0U};
  out.reserve(out.size() + 7 * layers_.size());
  for (const Kind& kind : layers_) {
    const uint64_t weights =
        kind.weights == nullptr ? 0 : static_cast<uint64_t>(kind.weights->layer) + 1;
    out.insert(out.end(), {kind.device, kind.attends, kind.experts, kind.k_width, kind.v_width,
                           kind.window, weights});
  }
  return out;
}

std::vector<uint64_t> Draw::bytes() {
  s_.expect(layers_.size());
  inputs();
  at_.device = devices_ - 1;
  const Id tokens = s_.input({t_}, Sketch::kI32);
  live_ = s_.rows({embd_, t_}, s_.weight(devices_ - 1, 1), tokens);
  s_.expand(live_);
  s_.expand(s_.input({embd_, t_}, Sketch::kF32));  // for images; there, and never read
  if (style_.scaled || card_.architecture.starts_with("granite")) live_ = scale(live_);
  if (encoder_) {
    live_ = add(live_, s_.weight(at_.device, embd_ * Sketch::kF32));
    live_ = add(s_.rows({embd_, t_}, s_.weight(at_.device, 1), positions_), live_);
    at_ = layers_.front();
    live_ = norm(live_);
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    at_ = layers_[i];
    encoder_ ? encoder_layer(i + 1 == layers_.size()) : layer(i + 1 == layers_.size());
  }
  head();
  SketchDevices devices{devices_};
  if (devices_ > 2 && all_on_devices_) devices.copies = kPipelined;
  return s_.reserve(devices);
}

}  // namespace

const std::vector<uint64_t>& Drawings::of(const std::vector<Split>& splits) {
  if (wish_.card->layers == 0) {
    return known_.try_emplace({}, splits.size() + 1).first->second;
  }
  if (weights_.empty()) weights_ = weights_of(*wish_.card);
  Draw draw(wish_, splits, weights_);
  const std::vector<uint64_t> key = draw.key();
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  return known_.emplace(key, draw.bytes()).first->second;
}

Drawn draw_llama(const Wish& wish, const std::vector<Split>& splits, bool every_layer) {
  if (wish.card->layers == 0) return {std::vector<uint64_t>(splits.size() + 1, 0)};
  return {Draw(wish, splits, weights_of(*wish.card), every_layer).bytes()};
}

}  // namespace gantry
