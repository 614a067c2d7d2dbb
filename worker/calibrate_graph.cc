// The shapes are those of a model with 1 to 3 billion weights, where most of what runs on small
// machines is; rates hardly depend on them above that.
#include "worker/calibrate_graph.h"

#include <ggml-alloc.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "base/rng.h"

namespace gantry {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWidth = 2048, kKvWidth = 512, kFeed = 5632;
constexpr int64_t kHead = 128, kHeads = 16, kKvHeads = 4;
constexpr int64_t kBatch = 512;
constexpr int64_t kExpertFeed = 768, kExperts = 32, kExpertsUsed = 4;  // one in eight
constexpr int64_t kCells = 4096;       // of a cache, for decode
constexpr int64_t kBatchCells = 1024;  // for prefill
constexpr size_t kWeightBytes = 192U << 20;  // of one pass over the weights: larger than caches
constexpr size_t kCopyBytes = 64U << 20;
constexpr int kChain = 256;  // operations of a graph that has nothing but steps
constexpr int64_t kPatternRows = 32;
constexpr int64_t kSmall = 64;  // width of a matrix that costs nothing but its step

Error no_memory(size_t bytes) {
  return {Code::kDoesNotFit, "no " + std::to_string(bytes >> 20) + " MiB to calibrate with", ""};
}

struct FreeAllocator {
  void operator()(ggml_gallocr* allocator) const { ggml_gallocr_free(allocator); }
};

// Tensors without data; their graph, once it is built.
class Sheet {
 public:
  explicit Sheet(size_t tensors)
      : context_(ggml_init({tensors * ggml_tensor_overhead() +
                                ggml_graph_overhead_custom(tensors, false),
                            nullptr, true})),
        graph_(nullptr), tensors_(tensors) {}
  ggml_context* get() const { return context_.get(); }
  ggml_cgraph* graph() {
    if (graph_ == nullptr) graph_ = ggml_new_graph_custom(context_.get(), tensors_, false);
    return graph_;
  }
  void take(ggml_tensor* result) { ggml_build_forward_expand(graph(), result); }
  ggml_tensor* input(ggml_type type, int64_t a, int64_t b, int64_t c = 1) {
    ggml_tensor* tensor = ggml_new_tensor_3d(context_.get(), type, a, b, c);
    ggml_set_input(tensor);
    inputs_.push_back(tensor);
    return tensor;
  }
  const std::vector<ggml_tensor*>& inputs() const { return inputs_; }

 private:
  SheetContext context_;
  ggml_cgraph* graph_;
  size_t tensors_;
  std::vector<ggml_tensor*> inputs_;
};

std::vector<float> noise(size_t n) {
  Rng rng(7);
  std::vector<float> out(n);
  for (float& value : out) {
    value = static_cast<float>(rng.below(1U << 20)) / static_cast<float>(1U << 19) - 1.0F;
  }
  return out;
}

// Well-formed rows, repeated: neither infinities nor denormals, which some kernels are slow with.
void fill_weights(ggml_tensor* tensor) {
  const int64_t width = tensor->ne[0];
  const size_t row = ggml_row_size(tensor->type, width);
  std::vector<char> pattern(row * kPatternRows);
  const std::vector<float> values = noise(static_cast<size_t>(width * kPatternRows));
  if (tensor->type == GGML_TYPE_F32) {
    std::memcpy(pattern.data(), values.data(), pattern.size());
  } else {
    ggml_quantize_chunk(tensor->type, values.data(), pattern.data(), 0, kPatternRows, width,
                        nullptr);
  }
  std::vector<char> all(ggml_nbytes(tensor));
  for (size_t at = 0; at < all.size(); at += pattern.size()) {
    std::copy_n(pattern.begin(), std::min(pattern.size(), all.size() - at),
                all.begin() + static_cast<std::ptrdiff_t>(at));
  }
  ggml_backend_tensor_set(tensor, all.data(), 0, all.size());
}

void fill_input(ggml_tensor* tensor) {
  const auto n = static_cast<size_t>(ggml_nelements(tensor));
  if (tensor->type == GGML_TYPE_F32) {
    const std::vector<float> values = noise(n);
    ggml_backend_tensor_set(tensor, values.data(), 0, n * sizeof(float));
  } else if (tensor->type == GGML_TYPE_F16) {  // a mask: everything is seen
    const std::vector<ggml_fp16_t> values(n, 0);
    ggml_backend_tensor_set(tensor, values.data(), 0, n * sizeof(ggml_fp16_t));
  }
}

Result<Buffer> weights_in(const Sheet& sheet, ggml_backend_buffer_type_t type) {
  Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(sheet.get(), type));
  if (!buffer) return fail(no_memory(kWeightBytes));
  ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  for (ggml_tensor* t = ggml_get_first_tensor(sheet.get()); t != nullptr;
       t = ggml_get_next_tensor(sheet.get(), t)) {
    fill_weights(t);
  }
  return buffer;
}

double median(std::vector<double> seconds) {
  std::ranges::sort(seconds);
  return seconds[seconds.size() / 2];
}

// Seconds of one pass; what is done more than once is `pass`.
Result<double> repeat(const Unit& unit, const Patience& patience,
                      const std::function<bool()>& pass) {
  std::vector<double> seconds;
  const Clock::time_point begin = Clock::now();
  for (int i = -1;; ++i) {  // the first one warms up
    if (unit.cancel != nullptr && *unit.cancel) return fail(Code::kCancelled, "interrupted");
    const Clock::time_point start = Clock::now();
    if (!pass()) return fail(Code::kWorkerFailed, "the device does not compute");
    const Clock::time_point now = Clock::now();
    if (i >= 0) seconds.push_back(std::chrono::duration<double>(now - start).count());
    const double all = std::chrono::duration<double>(now - begin).count();
    if (i + 1 >= patience.passes_min && all >= patience.seconds) return median(seconds);
  }
}

using FillIds = std::function<void(ggml_tensor*)>;

Result<double> time_graph(const Unit& unit, Sheet& sheet, const Patience& patience,
                          const FillIds& fill_ids = {}) {
  const std::unique_ptr<ggml_gallocr, FreeAllocator> allocator(
      ggml_gallocr_new(ggml_backend_get_default_buffer_type(unit.backend.get())));
  if (!ggml_gallocr_alloc_graph(allocator.get(), sheet.graph())) return fail(no_memory(64U << 20));
  for (ggml_tensor* input : sheet.inputs()) {
    if (input->type == GGML_TYPE_I32) {
      if (fill_ids) fill_ids(input);
    } else {
      fill_input(input);
    }
  }
  return repeat(unit, patience, [&] {
    const bool well = ggml_backend_graph_compute(unit.backend.get(), sheet.graph()) ==
                      GGML_STATUS_SUCCESS;
    ggml_backend_synchronize(unit.backend.get());
    return well;
  });
}

// ---- layers

struct Layer {
  ggml_tensor *q, *k, *v, *o, *gate, *up, *down;
  std::array<ggml_tensor*, 7> all() const { return {q, k, v, o, gate, up, down}; }
};

Layer new_layer(ggml_context* c, ggml_type type) {
  const auto matrix = [&](int64_t in, int64_t out) { return ggml_new_tensor_2d(c, type, in, out); };
  return {matrix(kWidth, kWidth), matrix(kWidth, kKvWidth), matrix(kWidth, kKvWidth),
          matrix(kWidth, kWidth), matrix(kWidth, kFeed),    matrix(kWidth, kFeed),
          matrix(kFeed, kWidth)};
}

constexpr int kLayerSteps = 9;

ggml_tensor* compute_layer(Sheet& sheet, const Layer& layer, ggml_tensor* x) {
  ggml_context* c = sheet.get();
  x = ggml_rms_norm(c, x, 1e-5F);
  sheet.take(ggml_mul_mat(c, layer.k, x));
  sheet.take(ggml_mul_mat(c, layer.v, x));
  x = ggml_mul_mat(c, layer.o, ggml_mul_mat(c, layer.q, x));
  x = ggml_swiglu_split(c, ggml_mul_mat(c, layer.gate, x), ggml_mul_mat(c, layer.up, x));
  return ggml_mul_mat(c, layer.down, x);
}

Result<double> time_batch(const Unit& unit, const std::vector<Layer>& layers, size_t count,
                          int64_t tokens, const Patience& patience) {
  Sheet sheet(32 * count + 32);
  ggml_tensor* x = sheet.input(GGML_TYPE_F32, kWidth, tokens);
  for (size_t i = 0; i < count; ++i) x = compute_layer(sheet, layers[i], x);
  sheet.take(x);
  return time_graph(unit, sheet, patience);
}

// ---- experts

struct ExpertLayer {
  ggml_tensor *gate, *up, *down;
};

// Different experts in each group, so that one pass reads all of them.
Result<double> time_groups(const Unit& unit, const ExpertLayer& layer, int64_t groups,
                           int64_t tokens, const Patience& patience) {
  Sheet sheet(static_cast<size_t>(16 * groups + 32));
  ggml_context* c = sheet.get();
  ggml_tensor* x = sheet.input(GGML_TYPE_F32, kWidth, 1, tokens);
  for (int64_t g = 0; g < groups; ++g) {
    ggml_tensor* ids = sheet.input(GGML_TYPE_I32, kExpertsUsed, tokens);
    ggml_tensor* h = ggml_swiglu_split(c, ggml_mul_mat_id(c, layer.gate, x, ids),
                                       ggml_mul_mat_id(c, layer.up, x, ids));
    sheet.take(ggml_mul_mat_id(c, layer.down, h, ids));
  }
  int32_t next = 0;
  const auto fill_ids = [&next](ggml_tensor* ids) {
    std::vector<int32_t> values(static_cast<size_t>(ggml_nelements(ids)));
    for (int32_t& id : values) id = next++ % kExperts;
    ggml_backend_tensor_set(ids, values.data(), 0, values.size() * sizeof(int32_t));
  };
  return time_graph(unit, sheet, patience, fill_ids);
}

// ---- attention

// One layer's; queries (head, tokens, heads). As llama.cpp builds it.
ggml_tensor* attend(Sheet& sheet, ggml_tensor* k, ggml_tensor* v, ggml_tensor* q,
                    ggml_tensor* mask, bool flash) {
  ggml_context* c = sheet.get();
  const float scale = 0.088F;
  if (flash) return ggml_flash_attn_ext(c, q, k, v, mask, scale, 0, 0);
  ggml_tensor* scores = ggml_mul_mat(c, k, q);
  scores = ggml_soft_max_ext(c, scores, mask, scale, 0);
  ggml_tensor* out = ggml_permute(c, ggml_mul_mat(c, v, scores), 0, 2, 1, 3);
  return ggml_cont_2d(c, out, out->ne[0] * out->ne[1], out->ne[2]);
}

struct Cache {
  ggml_tensor *k, *v;
};

Result<double> time_attending(const Unit& unit, const std::vector<Cache>& caches, int64_t tokens,
                              bool flash, const Patience& patience) {
  Sheet sheet(16 * caches.size() + 32);
  ggml_tensor* q = sheet.input(GGML_TYPE_F32, kHead, tokens, kHeads);
  ggml_tensor* mask = sheet.input(GGML_TYPE_F16, caches.front().k->ne[1], tokens);
  for (const Cache& cache : caches) {
    sheet.take(attend(sheet, cache.k, cache.v, q, mask, flash));
  }
  for (int i = 0; i < ggml_graph_n_nodes(sheet.graph()); ++i) {
    if (!ggml_backend_dev_supports_op(unit.device, ggml_graph_node(sheet.graph(), i))) {
      return fail(Code::kUnsupported, "the device does not attend this way");
    }
  }
  return time_graph(unit, sheet, patience);
}

std::vector<Cache> new_caches(ggml_context* c, size_t count, int64_t cells, bool flash) {
  std::vector<Cache> out;
  for (size_t i = 0; i < count; ++i) {
    ggml_tensor* k = ggml_new_tensor_3d(c, GGML_TYPE_F16, kHead, cells, kKvHeads);
    ggml_tensor* v = flash ? ggml_new_tensor_3d(c, GGML_TYPE_F16, kHead, cells, kKvHeads)
                           : ggml_new_tensor_3d(c, GGML_TYPE_F16, cells, kHead, kKvHeads);
    out.push_back({k, v});
  }
  return out;
}

// Rearranging buffer types of the CPU; what the device itself multiplies from comes after them.
std::vector<WeightPlace> candidates(ggml_backend_dev_t device) {
  std::vector<WeightPlace> out;
  ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(device);
  if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
    const auto extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(reg, "ggml_backend_dev_get_extra_bufts"));
    for (ggml_backend_buffer_type_t* one = extra != nullptr ? extra(device) : nullptr;
         one != nullptr && *one != nullptr; ++one) {
      out.push_back({*one, true});
    }
  }
  out.push_back({ggml_backend_dev_buffer_type(device), false});
  return out;
}

}  // namespace

std::vector<WeightPlace> places_of(const Unit& unit, ggml_type type, bool experts) {
  std::vector<WeightPlace> out;
  for (const WeightPlace& place : candidates(unit.device)) {
    const Sheet sheet(16);
    ggml_context* c = sheet.get();
    ggml_tensor* w = experts ? ggml_new_tensor_3d(c, type, kWidth, kExpertFeed, kExperts)
                             : ggml_new_tensor_2d(c, type, kWidth, kFeed);
    ggml_tensor* x = ggml_new_tensor_3d(c, GGML_TYPE_F32, kWidth, experts ? 1 : kBatch,
                                        experts ? kBatch : 1);
    ggml_tensor* ids = ggml_new_tensor_2d(c, GGML_TYPE_I32, kExpertsUsed, kBatch);
    ggml_tensor* op = experts ? ggml_mul_mat_id(c, w, x, ids) : ggml_mul_mat(c, w, x);
    // As llama.cpp asks: a buffer of no size says where the weight would be.
    const Buffer nowhere(ggml_backend_buft_alloc_buffer(place.type, 0));
    w->buffer = nowhere.get();
    const bool rearranged_before = !out.empty() && place.rearranged;
    if (!rearranged_before && ggml_backend_dev_supports_op(unit.device, op)) out.push_back(place);
    w->buffer = nullptr;
  }
  return out;
}

namespace {

// Writing matrices where they are rearranged, as llama.cpp's loader does: each one comes through a
// buffer of its own, which starts as zeros, and goes to memory that was never touched.
Result<void> time_rearranging(const Unit& unit, ggml_type type, const WeightPlace& place,
                              size_t count, const Patience& patience, RateSeconds* out) {
  size_t bytes = 0;
  const Result<double> seconds = repeat(unit, {patience.seconds / 4, 3}, [&] {
    const Sheet sheet(count);
    std::vector<ggml_tensor*> matrices(count);
    for (ggml_tensor*& one : matrices) one = ggml_new_tensor_2d(sheet.get(), type, kFeed, kWidth);
    const Buffer fresh(ggml_backend_alloc_ctx_tensors_from_buft(sheet.get(), place.type));
    if (!fresh) return false;
    bytes = ggml_nbytes(matrices.front());
    for (ggml_tensor* one : matrices) {
      const std::vector<char> from(bytes);
      ggml_backend_tensor_set(one, from.data(), 0, bytes);
    }
    return true;
  });
  if (!seconds) return fail(seconds.error());
  out->rearranged_bytes = static_cast<double>(bytes * count);
  out->rearrange_s = *seconds;
  return {};
}

}  // namespace

Result<RateSeconds> time_layers(const Unit& unit, ggml_type type, const WeightPlace& place,
                                const Patience& patience) {
  size_t bytes = 0;
  int64_t weights = 0;
  {
    const Sheet sheet(16);
    for (const ggml_tensor* t : new_layer(sheet.get(), type).all()) {
      bytes += ggml_nbytes(t);
      weights += ggml_nelements(t);
    }
  }
  const size_t count = std::max<size_t>(2, (kWeightBytes + bytes - 1) / bytes);
  Sheet held(8 * count);
  std::vector<Layer> layers;
  for (size_t i = 0; i < count; ++i) layers.push_back(new_layer(held.get(), type));
  const Result<Buffer> buffer = weights_in(held, place.type);
  if (!buffer) return fail(buffer.error());
  const Result<double> decode = time_batch(unit, layers, count, 1, patience);
  if (!decode) return fail(decode.error());
  const Result<double> prefill = time_batch(unit, layers, 1, kBatch, patience);
  if (!prefill) return fail(prefill.error());
  RateSeconds out{static_cast<double>(bytes * count), *decode,
                  2.0 * static_cast<double>(weights * kBatch), *prefill,
                  static_cast<int>(count) * kLayerSteps};
  if (place.rearranged) {
    Result<void> done = time_rearranging(unit, type, place, count, patience, &out);
    if (!done) return fail(done.error());
  }
  return out;
}

Result<RateSeconds> time_experts(const Unit& unit, ggml_type type, const WeightPlace& place,
                                 const Patience& patience) {
  Sheet held(8);
  ggml_context* c = held.get();
  const ExpertLayer layer = {ggml_new_tensor_3d(c, type, kWidth, kExpertFeed, kExperts),
                             ggml_new_tensor_3d(c, type, kWidth, kExpertFeed, kExperts),
                             ggml_new_tensor_3d(c, type, kExpertFeed, kWidth, kExperts)};
  const Result<Buffer> buffer = weights_in(held, place.type);
  if (!buffer) return fail(buffer.error());
  const int64_t groups = kExperts / kExpertsUsed;
  const Result<double> decode = time_groups(unit, layer, groups, 1, patience);
  if (!decode) return fail(decode.error());
  const Result<double> prefill = time_groups(unit, layer, 1, kBatch, patience);
  if (!prefill) return fail(prefill.error());
  const size_t bytes = ggml_nbytes(layer.gate) + ggml_nbytes(layer.up) + ggml_nbytes(layer.down);
  return RateSeconds{static_cast<double>(bytes), *decode,
                     2.0 * 3 * kWidth * kExpertFeed * kExpertsUsed * kBatch, *prefill,
                     static_cast<int>(groups) * 4};
}

Result<RateSeconds> time_attention(const Unit& unit, bool flash, const Patience& patience) {
  constexpr size_t kLayerBytes = 2 * 2 * kHead * kKvHeads * kCells;
  constexpr size_t kLayers = kWeightBytes / kLayerBytes;
  Sheet held(2 * kLayers + 8);
  const std::vector<Cache> caches = new_caches(held.get(), kLayers, kCells, flash);
  const std::vector<Cache> batch = new_caches(held.get(), 1, kBatchCells, flash);
  const Result<Buffer> buffer = weights_in(held, ggml_backend_dev_buffer_type(unit.device));
  if (!buffer) return fail(buffer.error());
  const Result<double> decode = time_attending(unit, caches, 1, flash, patience);
  if (!decode) return fail(decode.error());
  const Result<double> prefill = time_attending(unit, batch, kBatch, flash, patience);
  if (!prefill) return fail(prefill.error());
  return RateSeconds{static_cast<double>(kLayers * kLayerBytes), *decode,
                     4.0 * kBatch * kBatchCells * kHead * kHeads, *prefill,
                     static_cast<int>(kLayers) * (flash ? 1 : 4)};
}

Result<RateSeconds> time_activations(const Unit& unit, const Patience& patience) {
  RateSeconds out;
  Sheet held(8);
  ggml_tensor* small = ggml_new_tensor_2d(held.get(), GGML_TYPE_F16, kSmall, kSmall);
  const Result<Buffer> buffer = weights_in(held, ggml_backend_dev_buffer_type(unit.device));
  if (!buffer) return fail(buffer.error());
  {  // A product, an addition, a product: what a pass of one token is made of, without its bytes.
    Sheet sheet(2 * kChain + 32);
    ggml_tensor* x = sheet.input(GGML_TYPE_F32, kSmall, 1);
    for (int i = 0; i < kChain; i += 2) {
      x = ggml_rms_norm(sheet.get(), ggml_mul_mat(sheet.get(), small, x), 1e-5F);
    }
    sheet.take(x);
    const Result<double> seconds = time_graph(unit, sheet, patience);
    if (!seconds) return fail(seconds.error());
    out.steps = kChain;
    out.decode_s = *seconds;
  }
  Sheet sheet(64);
  ggml_context* c = sheet.get();
  ggml_tensor* x = sheet.input(GGML_TYPE_F32, kWidth, kBatch);
  ggml_tensor* y = sheet.input(GGML_TYPE_F32, kWidth, kBatch);
  for (int i = 0; i < 4; ++i) x = ggml_mul(c, ggml_rms_norm(c, ggml_add(c, x, y), 1e-5F), y);
  sheet.take(x);
  const Result<double> seconds = time_graph(unit, sheet, patience);
  if (!seconds) return fail(seconds.error());
  // Two inputs and an output of an addition and a product, one and one of a norm.
  out.bytes = 4.0 * (3 + 2 + 3) * sizeof(float) * kWidth * kBatch;
  out.flop = 4.0 * 3 * kWidth * kBatch;
  out.prefill_s = *seconds;
  return out;
}

Result<std::optional<double>> copy_rate(const Unit& unit, bool pinned,
                                        const Patience& patience) {
  Sheet held(4);
  ggml_tensor* there = ggml_new_tensor_1d(held.get(), GGML_TYPE_I8, kCopyBytes);
  const Buffer buffer(ggml_backend_alloc_ctx_tensors_from_buft(
      held.get(), ggml_backend_dev_buffer_type(unit.device)));
  if (!buffer) return fail(no_memory(kCopyBytes));
  Buffer host;
  std::vector<char> ordinary;
  char* from = nullptr;
  if (pinned) {
    ggml_backend_buffer_type_t type = ggml_backend_dev_host_buffer_type(unit.device);
    if (type == nullptr) return std::nullopt;
    host.reset(ggml_backend_buft_alloc_buffer(type, kCopyBytes));
    if (!host) return std::nullopt;
    from = static_cast<char*>(ggml_backend_buffer_get_base(host.get()));
  } else {
    ordinary.resize(kCopyBytes);
    from = ordinary.data();
  }
  std::fill_n(from, kCopyBytes, 'x');
  const Result<double> seconds = repeat(unit, patience, [&] {
    ggml_backend_tensor_set_async(unit.backend.get(), there, from, 0, kCopyBytes);
    ggml_backend_synchronize(unit.backend.get());
    return true;
  });
  if (!seconds) return fail(seconds.error());
  return static_cast<double>(kCopyBytes) / *seconds;
}

}  // namespace gantry
