// One function for each of whisper_build_graph_*() in whisper.cpp 1.8.5, with its order of operands
// and of expand(): it decides what lives at the same time.
#include "plan/draw_whisper.h"

#include <algorithm>

#include "plan/sketch.h"

namespace gantry {

namespace {

using Id = Sketch::Id;
using Dims = Sketch::Dims;

constexpr uint64_t kCellStep = 256;  // cells of caches come in steps of so many
constexpr uint64_t kKernel = 3;      // frames that a convolution sees
constexpr uint32_t kAlike = 6;       // more layers change nothing: the allocator goes in circles

uint64_t whole_cells(uint64_t n) { return (n + kCellStep - 1) / kCellStep * kCellStep; }

// Weights are all on device 0: the accelerator, or the CPU where it is alone.
class Draw {
 public:
  Draw(const ModelCard& card, uint32_t devices)
      : card_(card), devices_(devices), frames_(card.audio_context), state_(card.embd) {}

  std::vector<uint64_t> conv();
  std::vector<uint64_t> encode();
  std::vector<uint64_t> cross();
  std::vector<uint64_t> decode(uint64_t tokens);

 private:
  std::vector<uint64_t> reserve() { return s_.reserve({devices_}); }
  Id weight() { return s_.weight(0, 1); }
  Id matrix(Id of, uint64_t rows) { return s_.matrix(weight(), of, rows); }
  Id add(Id a, Id b) { return s_.in_place(s_.dims(a), {a, b}); }
  Id biased(Id of) { return add(of, weight()); }
  Id norm(Id of) {
    const Dims dims = s_.dims(of);
    return biased(s_.in_place(dims, {s_.op(dims, {of}), weight()}));
  }
  Id scale(Id of) { return s_.in_place(s_.dims(of), {of}); }
  // What another graph left behind, or a cache.
  Id outside(Dims dims) { return s_.view(s_.cache(0, dims.count() * Sketch::kF32), dims); }
  void store(Id what) { s_.expand(s_.store(outside(s_.dims(what)), what, Sketch::kNone)); }
  Id convolution(Id of, uint64_t channels, uint64_t frames);
  Id attention(Id q, uint64_t cells, Id mask);
  Id ffn(Id of);

  const ModelCard& card_;
  uint32_t devices_;
  uint64_t frames_, state_;
  Sketch s_;
};

// ggml_conv_1d(): columns in F16, then one product.
Id Draw::convolution(Id of, uint64_t channels, uint64_t frames) {
  const Id kernel = weight();
  const Id columns = s_.op({kKernel * channels, frames}, {kernel, of}, Sketch::kF16);
  const Id product = s_.op({frames, state_}, {columns, s_.view(kernel, {kKernel * channels})});
  return scale(biased(s_.view(product, {frames, state_})));
}

std::vector<uint64_t> Draw::conv() {
  const Id mel = s_.input({2 * frames_, card_.audio_mels}, Sketch::kF32);
  const Id once = convolution(mel, card_.audio_mels, 2 * frames_);
  const Id out = convolution(once, state_, frames_);
  s_.keep(out);
  s_.expand(out);
  return reserve();
}

// Keys and values are in a cache, in F16: nothing is converted.
Id Draw::attention(Id q, uint64_t cells, Id mask) {
  const uint64_t heads = std::max(card_.heads, 1U), head = state_ / heads, n = s_.dims(q).b;
  q = s_.permuted(s_.view(q, {head, heads, n}), {head, n, heads});
  const Id k = s_.view(outside({head, cells, heads}), {head, cells, heads}, true);
  const Id v = s_.view(outside({head, cells, heads}), {head, cells, heads}, true);
  const Id out = s_.flash({head, heads, n}, {q, k, v, mask}, 0);
  return biased(matrix(s_.view(out, {state_, n}), state_));
}

Id Draw::ffn(Id of) {
  const Id wide = scale(biased(matrix(norm(of), card_.ffn)));
  return add(biased(matrix(wide, state_)), of);
}

std::vector<uint64_t> Draw::encode() {
  const Id turned = s_.permuted(outside({frames_, state_}), {state_, frames_});
  const Id embd = s_.op({state_, frames_}, {turned});
  Id live = s_.in_place({state_, frames_}, {s_.view(weight(), {state_, frames_}), embd});
  for (uint32_t i = 0; i < std::min(card_.audio_layers, kAlike); ++i) {
    const Id normed = norm(live);
    const Id q = biased(matrix(normed, state_));
    const Id k = matrix(normed, state_);
    const Id v = biased(matrix(normed, state_));
    store(k);
    store(v);
    live = ffn(add(attention(q, whole_cells(frames_), Sketch::kNone), live));
  }
  s_.expand(norm(live));
  return reserve();
}

std::vector<uint64_t> Draw::cross() {
  const Id encoded = outside({state_, frames_});
  for (uint32_t i = 0; i < std::min(card_.layers, kAlike); ++i) {
    const Id k = scale(matrix(encoded, state_));
    const Id v = biased(matrix(encoded, state_));
    store(k);
    store(v);
  }
  return reserve();
}

std::vector<uint64_t> Draw::decode(uint64_t tokens) {
  const uint64_t cells = whole_cells(card_.text_context);
  const Id ids = s_.input({tokens}, Sketch::kI32), positions = s_.input({tokens}, Sketch::kI32);
  const Id mask = s_.cast(s_.input({cells, tokens}, Sketch::kF32), Sketch::kF16);
  const Dims dims{state_, tokens};
  const Id words = s_.rows(dims, weight(), ids);
  Id live = add(words, s_.rows(dims, weight(), positions));
  for (uint32_t i = 0; i < std::min(card_.layers, kAlike); ++i) {
    const Id normed = norm(live);
    const Id q = scale(biased(matrix(normed, state_)));
    const Id k = scale(matrix(normed, state_));
    const Id v = biased(matrix(normed, state_));
    store(k);
    store(v);
    live = add(attention(q, cells, mask), live);
    const Id asked = biased(matrix(norm(live), state_));
    live = ffn(add(attention(asked, whole_cells(frames_), Sketch::kNone), live));
  }
  s_.expand(matrix(norm(live), card_.vocab));
  return reserve();
}

}  // namespace

WhisperGraphs draw_whisper(const ModelCard& card, bool on_accelerator, uint64_t tokens) {
  const uint32_t devices = on_accelerator ? 2 : 1;
  const auto fresh = [&] { return Draw(card, devices); };
  return {fresh().conv(), fresh().encode(), fresh().cross(), fresh().decode(tokens)};
}

}  // namespace gantry
