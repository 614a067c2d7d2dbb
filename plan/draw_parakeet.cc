// After models/parakeet.cpp of llama.cpp's mtmd (ggml 0.25.3). Beyond 655 s of sound it attends
// within windows instead; no piece of ours is as long.
#include "plan/draw_parakeet.h"

#include <algorithm>
#include <array>

#include "plan/draw_parts.h"

namespace gantry {

namespace {

using Id = Sketch::Id;
using Dims = Sketch::Dims;

class DrawParakeet : DrawParts {
 public:
  DrawParakeet(const ModelCard& card, uint32_t text_embd, uint64_t frames)
      : card_(card), embd_(card.audio.embd), heads_(std::max(card.audio.heads, 1U)),
        text_(text_embd), frames_(frames) {}
  uint64_t bytes();

 private:
  Id product(Id of, uint64_t rows) { return s_.matrix(weight(), of, rows); }
  Id smaller(Id of) {
    const Dims dims = s_.dims(of);
    return biased(s_.op({half(dims.a), half(dims.b), dims.c}, {weight(), of}));
  }
  static uint64_t half(uint64_t side) { return (side + 1) / 2; }
  Id subsampled();
  void make_positions();
  Id half_ffn(Id of);
  Id attention(Id of);
  Id places(Id query);
  Id convolved(Id of);

  const ModelCard& card_;
  const uint64_t embd_, heads_, text_, frames_;
  uint64_t n_ = 0, window_ = 0;  // steps in time; distances between two of them
  Id mask_ = Sketch::kNone, positions_ = Sketch::kNone;
};

// An eighth of time and of pitch, by three convolutions; between them channels are mixed.
Id DrawParakeet::subsampled() {
  constexpr uint64_t kTaps = 9;
  const uint64_t channels = card_.audio_channels, mels = card_.audio_mels;
  const Id sound = s_.input({frames_, mels}, Sketch::kF32);
  Id live = s_.op({mels, frames_}, {s_.view(sound, {mels, frames_}, true)});
  live = each(biased(convolution(live, kTaps, {half(mels), half(frames_), channels})));
  for (int i = 0; i < 2; ++i) {
    live = smaller(live);
    live = each(biased(convolution(live, 1, s_.dims(live))));
  }
  const Dims dims = s_.dims(live);
  live = s_.op({dims.a, channels, dims.b}, {s_.permuted(live, {dims.a, channels, dims.b})});
  n_ = dims.b;
  return matrix(s_.view(live, {dims.a * channels, n_}), embd_);
}

// Sines and cosines of every distance, side by side.
void DrawParakeet::make_positions() {
  window_ = 2 * n_ - 1;
  const Dims dims{embd_ / 2, window_};
  mask_ = s_.input({n_, n_}, Sketch::kF32);
  const Id pitches = s_.input({dims.a}, Sketch::kF32);
  const Id distances = s_.input({1, window_}, Sketch::kF32);
  const Id angles = s_.in_place(dims, {s_.op(dims, {pitches}), distances});
  const Dims thin{1, dims.a, window_}, both{2, dims.a, window_};
  const Id sines = s_.view(s_.op(dims, {angles}), thin);
  const Id cosines = s_.view(s_.op(dims, {angles}), thin);
  positions_ = s_.view(s_.op(both, {s_.op(both, {sines, cosines})}), {embd_, window_});
}

Id DrawParakeet::half_ffn(Id of) {
  const Id wide = each(product(mean_norm(of), card_.audio.ffn));
  return add(of, each(product(wide, embd_)));
}

// How well a query fits each distance, shifted so that distances become keys.
Id DrawParakeet::places(Id query) {
  const uint64_t head = embd_ / heads_;
  const Id split = s_.view(product(positions_, embd_), {head, heads_, window_});
  const Id keys = s_.op({head, window_, heads_}, {s_.permuted(split, {head, window_, heads_})});
  const Id biased_query = biased(query);
  const Id turned = s_.op({head, n_, heads_}, {s_.permuted(biased_query, {head, n_, heads_})});
  Id out = s_.op({window_, n_, heads_}, {keys, turned});
  out = s_.op({window_ + 1, n_, heads_}, {out});
  out = s_.op({n_, window_ + 1, heads_}, {s_.view(out, {n_, window_ + 1, heads_})});
  out = s_.op({n_, window_, heads_}, {s_.view(out, {n_, window_, heads_}, true)});
  return s_.view(out, {n_, n_, heads_}, true);
}

Id DrawParakeet::attention(Id of) {
  const uint64_t head = embd_ / heads_;
  const Id normed = mean_norm(of);
  std::array<Id, 3> qkv{};
  for (Id& part : qkv) part = s_.view(product(normed, embd_), {head, heads_, n_});
  const auto [q, k, v] = qkv;
  const Dims turned{head, n_, heads_};
  const Id keys = s_.permuted(k, turned);
  const Id fits = s_.op({n_, n_, heads_}, {keys, s_.permuted(biased(q), turned)});
  const Id weights = each(add(each(add(fits, places(q))), mask_));
  const Dims across{n_, head, heads_};
  const Id values = s_.op(across, {s_.permuted(v, across)});
  const Id mixed = s_.op(across, {weights, values});
  const Id flat = s_.op({embd_, n_}, {s_.permuted(mixed, {head, heads_, n_})});
  return add(of, product(flat, embd_));
}

// In time, a channel at a time, between two products; its norm is of the training's.
Id DrawParakeet::convolved(Id of) {
  const Dims flat{embd_, n_}, turned{n_, embd_};
  const Id both = product(mean_norm(of), 2 * embd_);
  const Id signal = s_.view(both, flat, true);
  const Id gate = s_.in_place(flat, {s_.view(both, flat, true)});
  Id live = s_.op(turned, {s_.permuted(s_.in_place(flat, {signal, gate}), turned)});
  const uint64_t taps = std::max(card_.audio.taps, 1U);
  live = s_.op({n_ + taps - 1, embd_}, {live});
  live = biased(s_.op(flat, {live, weight()}));
  live = add(live, s_.in_place({embd_}, {weight()}));
  live = each(biased(add(live, weight())));
  return add(of, product(live, embd_));
}

uint64_t DrawParakeet::bytes() {
  Id live = subsampled();
  make_positions();
  for (uint32_t i = 0; i < card_.audio_layers; ++i) {
    live = mean_norm(half_ffn(convolved(attention(half_ffn(live)))));
    s_.expand(live);  // it is the next layer's first operand
  }
  live = each(each(product(rms_norm(live), card_.audio.inner)));
  s_.expand(product(live, text_));
  return s_.reserve({1}).front();
}

}  // namespace

uint64_t draw_parakeet(const ModelCard& mmproj, uint32_t text_embd, uint64_t frames) {
  return DrawParakeet(mmproj, text_embd, frames).bytes();
}

}  // namespace gantry
