// After models/{llava,siglip,qwen2vl,qwen3vl,nemotron-v2-vl}.cpp and clip.cpp of llama.cpp's mtmd
// (ggml 0.25.3), with their order of operands and of expand(): it decides what lives at the same
// time.
#include "plan/draw_vision.h"

#include <algorithm>
#include <array>

#include "plan/draw_parakeet.h"
#include "plan/draw_parts.h"

namespace gantry {

namespace {

using Id = Sketch::Id;
using Dims = Sketch::Dims;

constexpr uint64_t kColours = 3;
constexpr uint64_t kQwenMerge = 2;
constexpr uint64_t kQwenSide = 46;  // tokens; its square is kQwenImageTokens
constexpr uint64_t kSoundFrames = 3'000;  // that mtmd reserves room for, ten milliseconds each
static_assert(kQwenSide * kQwenSide == kQwenImageTokens);

class Draw : DrawParts {
 public:
  Draw(const ModelCard& card, uint32_t text_embd, bool flash)
      : card_(card), style_(card.vision), flash_(flash), rms_(is("qwen2.5vl_merger")),
        embd_(card.embd), text_(text_embd), pixels_(card.image_size) {
    if (style_.is_qwen()) pixels_ = kQwenSide * kQwenMerge * card.patch_size;
    side_ = pixels_ / std::max(card.patch_size, 1U);
    n_ = side_ * side_;
  }
  uint64_t bytes();
  uint64_t audio_bytes();

 private:
  bool is(const char* projector) const { return style_.projector == projector; }
  Id two_matrices(Id of, uint64_t rows) {
    return matrix(each(matrix(of, s_.dims(of).a)), rows);
  }
  Id norm(Id of) { return rms_ ? rms_norm(of) : mean_norm(of); }
  Id patches_of(Id image);
  Id by_fours(Id of);
  Id clip_patches();
  Id nemotron_patches();
  Id qwen_patches();
  Id to_windows(Id of);
  Id attention(Id normed, Id mask);
  Id ffn(Id normed);
  Id qwen_result(Id of, Id features);
  Id gemma_result(Id of);
  Id clip_result(Id of);
  Id nemotron_result(Id of);
  Id result(Id of, Id features);
  Id chunked_sound();
  Id whole_sound();

  const ModelCard& card_;
  const VisionStyle& style_;
  bool flash_, rms_, is_chunked_ = card_.audio_projector == "qwen3a";
  uint64_t embd_, text_, pixels_, side_ = 0, n_ = 0;
  Id positions_ = Sketch::kNone, window_mask_ = Sketch::kNone;
};

Id Draw::patches_of(Id image) {
  const uint64_t patch = uint64_t{card_.patch_size} * card_.patch_size;
  return convolution(image, patch, {side_, side_, embd_});
}

// Some add a token for the whole image, which is one in hundreds.
Id Draw::clip_patches() {
  const Id image = s_.input({pixels_, pixels_, kColours}, Sketch::kF32);
  Id rows = s_.op({embd_, n_}, {s_.view(patches_of(image), {embd_, n_}, true)});
  rows = biased(rows);
  if (is("gemma3")) return biased(rows);
  const Id positions = s_.input({n_}, Sketch::kI32);
  return add(rows, s_.rows({embd_, n_}, weight(), positions));
}

// Registers go before the patches.
Id Draw::nemotron_patches() {
  const Id image = s_.input({pixels_, pixels_, kColours}, Sketch::kF32);
  const Id rows = s_.op({embd_, n_}, {s_.view(patches_of(image), {embd_, n_}, true)});
  n_ += style_.registers;
  return s_.op({embd_, n_}, {weight(), biased(rows)});
}

// From rows of patches to squares of two by two.
Id Draw::by_fours(Id of) {
  const Dims wide{2 * embd_, side_ / 2, side_};
  const Id pairs = s_.op(wide, {of});
  return s_.op({embd_, n_}, {s_.view(pairs, {embd_, n_}, true)});
}

// Two pictures of a film, or one twice; the file's positions stretched to this picture.
Id Draw::qwen_patches() {
  const Id image = s_.input({pixels_, pixels_, kColours}, Sketch::kF32);
  const Id first = patches_of(image), second = patches_of(image);
  const Id sum = add(first, second);
  Id rows = by_fours(s_.permuted(sum, {embd_, side_, side_}));
  positions_ = s_.input({4 * n_}, Sketch::kI32);
  if (!is("qwen3vl_merger")) return rows;
  rows = biased(rows);
  Id table = weight();
  if (side_ != card_.image_size / card_.patch_size) {
    table = s_.op({side_, side_, embd_}, {s_.view(table, {embd_}, true)});
    table = s_.op({embd_, n_}, {s_.view(table, {embd_, n_}, true)});
  }
  return add(rows, by_fours(table));
}

Id Draw::to_windows(Id of) {
  const Id chosen = s_.input({n_ / 4}, Sketch::kI32);
  window_mask_ = s_.input({n_, n_}, Sketch::kF32);
  if (flash_) window_mask_ = s_.cast(window_mask_, Sketch::kF16);
  const Id fours = s_.rows({4 * embd_, n_ / 4}, s_.view(of, {4 * embd_, n_ / 4}), chosen);
  return s_.view(fours, {embd_, n_});
}

Id Draw::attention(Id normed, Id mask) {
  const uint64_t heads = std::max(card_.heads, 1U), head = embd_ / heads;
  const Dims dims{head, heads, n_};
  std::array<Id, 3> qkv{};
  if (is("qwen3vl_merger") || is("nemotron_v2_vl")) {
    const Id all = matrix(normed, 3 * embd_);
    for (Id& part : qkv) part = s_.view(all, dims, true);
  } else {
    for (Id& part : qkv) part = s_.view(matrix(normed, embd_), dims);
  }
  auto [q, k, v] = qkv;
  if (positions_ != Sketch::kNone) q = s_.rope(q, positions_), k = s_.rope(k, positions_);
  for (const Id part : {q, k, v}) s_.expand(part);
  q = s_.permuted(q, {head, n_, heads});
  k = s_.permuted(k, {head, n_, heads});
  Id out = Sketch::kNone;
  if (flash_) {
    v = s_.cast(s_.permuted(v, {head, n_, heads}), Sketch::kF16);
    k = s_.cast(k, Sketch::kF16);
    out = mask == Sketch::kNone ? s_.flash(dims, {q, k, v}, 0)
                                : s_.flash(dims, {q, k, v, s_.cast(mask, Sketch::kF16)}, 0);
    out = s_.view(out, {embd_, n_});
  } else {
    v = s_.op({n_, head, heads}, {s_.permuted(v, {n_, head, heads})});
    const Dims scores{n_, n_, heads};
    const Id product = s_.op(scores, {k, q});
    const Id kq = mask == Sketch::kNone ? s_.in_place(scores, {product})
                                        : s_.in_place(scores, {product, mask});
    const Id kqv = s_.op({head, n_, heads}, {v, kq});
    out = s_.op({embd_, n_}, {s_.permuted(kqv, dims)});
  }
  return matrix(out, embd_);
}

Id Draw::ffn(Id normed) {
  if (!rms_) return matrix(each(matrix(normed, card_.ffn)), embd_);
  const Id up = matrix(normed, card_.ffn), gate = matrix(normed, card_.ffn);
  return matrix(s_.op({card_.ffn, n_}, {gate, up}), embd_);
}

Id Draw::qwen_result(Id of, Id features) {
  Id out = two_matrices(s_.view(of, {4 * embd_, n_ / 4}), text_);
  if (features != Sketch::kNone) {
    out = s_.op({text_ * (1 + style_.deepstack.size()), n_ / 4}, {out, features});
  }
  if (window_mask_ == Sketch::kNone) return out;
  return s_.rows({text_, n_ / 4}, out, s_.input({n_ / 4}, Sketch::kI32));
}

// Pooled, a token for each square of patches; the matrix is turned at run time.
Id Draw::gemma_result(Id of) {
  const uint64_t merge = std::clamp<uint64_t>(style_.merge, 1, side_), side = side_ / merge;
  Id out = s_.op({side_, side_, embd_}, {s_.view(of, {n_, embd_}, true)});
  out = s_.op({side, side, embd_}, {out});
  out = rms_norm(s_.op({embd_, side * side}, {s_.view(out, {embd_, side * side}, true)}));
  const Id turned = s_.op({embd_, text_}, {s_.view(weight(), {embd_, text_}, true)}, Sketch::kF16);
  return s_.op({text_, side * side}, {turned, out});
}

Id Draw::clip_result(Id of) {
  const Id chosen = s_.rows({embd_, n_}, of, s_.input({n_}, Sketch::kI32));
  return matrix(each(matrix(chosen, text_)), text_);
}

// Qwen3-ASR's: chunks of a second are made smaller three times, each side by two.
Id Draw::chunked_sound() {
  constexpr uint64_t kChunk = 100, kChunks = kSoundFrames / kChunk, kTaps = 9;
  const auto half = [](uint64_t side) { return (side + 1) / 2; };
  const Id sound = s_.input({kSoundFrames, card_.audio_mels}, Sketch::kF32);
  const uint64_t channels = card_.audio_channels;
  uint64_t wide = kChunk, high = card_.audio_mels;
  Id live = s_.op({wide, high, 1, kChunks}, {s_.view(sound, {wide, high, 1, kChunks}, true)});
  for (int i = 0; i < 3; ++i) {
    wide = half(wide), high = half(high);
    live = each(biased(convolution(live, kTaps, {wide, high, channels, kChunks})));
  }
  n_ = wide * kChunks;
  live = s_.op({high, channels, wide, kChunks},
               {s_.permuted(live, {high, channels, wide, kChunks})});
  live = s_.matrix(weight(), s_.view(live, {high * channels, n_}), embd_);
  return add(live, s_.op({embd_, n_}, {weight()}));
}

// Whisper's: two convolutions in time, the second of which halves it.
Id Draw::whole_sound() {
  n_ = kSoundFrames / 2;
  const Id sound = s_.input({kSoundFrames, card_.audio_mels}, Sketch::kF32);
  const auto convolved = [this](Id of, uint64_t channels, uint64_t frames) {
    const Id kernel = weight();
    const Id columns = columns_of(kernel, of, {3 * channels, frames});
    return each(biased(s_.op({frames, embd_}, {columns, kernel})));
  };
  const Id first = convolved(sound, card_.audio_mels, kSoundFrames);
  const Id second = convolved(first, embd_, n_);
  return biased(s_.op({embd_, n_}, {s_.view(second, {embd_, n_}, true)}));
}

// Squares of patches become one token each.
Id Draw::nemotron_result(Id of) {
  const uint64_t merge = std::clamp<uint64_t>(style_.merge, 1, std::max<uint64_t>(side_, 1));
  const uint64_t side = side_ / merge, wide = merge * merge * embd_;
  Id out = s_.op({wide, side, side}, {s_.view(of, {merge * embd_, side_, side}, true)});
  out = rms_norm(s_.op({wide, side * side}, {s_.view(out, {wide, side, side}, true)}));
  out = each(each(s_.matrix(weight(), out, style_.inner)));
  return s_.matrix(weight(), out, text_);
}

Id Draw::result(Id of, Id features) {
  if (style_.is_qwen()) return qwen_result(of, features);
  if (is("nemotron_v2_vl")) return nemotron_result(of);
  return is("gemma3") ? gemma_result(of) : clip_result(of);
}

uint64_t Draw::audio_bytes() {
  Id live = is_chunked_ ? chunked_sound() : whole_sound();
  for (uint32_t i = 0; i < card_.layers; ++i) {
    const Id between = add(attention(norm(live), Sketch::kNone), live);
    live = add(between, ffn(norm(between)));
  }
  live = norm(live);
  s_.expand(matrix(each(matrix(live, embd_)), text_));
  return s_.reserve({1}).front();
}

uint64_t Draw::bytes() {
  const bool nemotron = is("nemotron_v2_vl");
  Id live = style_.is_qwen() ? qwen_patches() : nemotron ? nemotron_patches() : clip_patches();
  if (style_.norm_before) live = norm(live);
  const bool windows = style_.is_qwen() && style_.full_every > 0;
  if (windows) live = to_windows(live);
  Id features = Sketch::kNone;
  // LLaVA's reads what the last layer but one says.
  const uint32_t unread = style_.is_qwen() || nemotron || is("gemma3") ? 0 : 1;
  const uint32_t layers = std::max(card_.layers, unread) - unread;
  uint64_t wide = 0;  // of the features so far
  for (uint32_t i = 0; i < layers; ++i) {
    const bool whole = !windows || (i + 1) % style_.full_every == 0;
    const Id between = add(attention(norm(live), whole ? Sketch::kNone : window_mask_), live);
    live = add(between, ffn(norm(between)));
    if (!std::ranges::binary_search(style_.deepstack, i)) continue;
    const Id more = two_matrices(norm(s_.view(live, {4 * embd_, n_ / 4})), text_);
    wide += text_;
    features = features == Sketch::kNone ? more : s_.op({wide, n_ / 4}, {features, more});
  }
  if (style_.norm_behind) live = norm(live);
  s_.expand(result(live, features));
  return s_.reserve({1}).front();
}

}  // namespace

uint64_t draw_vision(const ModelCard& mmproj, uint32_t text_embd, bool flash) {
  if (mmproj.patch_size == 0) return 0;
  return Draw(mmproj, text_embd, flash).bytes();
}

uint64_t draw_audio(const ModelCard& mmproj, uint32_t text_embd, bool flash) {
  if (mmproj.audio_projector.empty()) return 0;
  if (mmproj.audio_projector == "parakeet") return draw_parakeet(mmproj, text_embd, kSoundFrames);
  ModelCard ears = mmproj;  // alone, where it has eyes too
  ears.layers = mmproj.audio_layers;
  ears.embd = mmproj.audio.embd;
  ears.heads = mmproj.audio.heads;
  ears.ffn = mmproj.audio.ffn;
  ears.vision = {};
  return Draw(ears, text_embd, flash).audio_bytes();
}

}  // namespace gantry
