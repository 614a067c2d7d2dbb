// After models/llava.cpp and clip.cpp of llama.cpp's mtmd with ggml 0.25.3, with their order of
// operands and of expand(): it decides what lives at the same time.
#include "plan/draw_vision.h"

#include <algorithm>

#include "plan/sketch.h"

namespace gantry {

namespace {

using Id = Sketch::Id;
using Dims = Sketch::Dims;

constexpr uint64_t kColours = 3;
constexpr uint32_t kAlike = 6;  // more layers change nothing: the allocator goes in circles

class Draw {
 public:
  Draw(const ModelCard& card, bool flash)
      : card_(card), flash_(flash), embd_(card.embd), side_(card.image_size / card.patch_size) {}
  uint64_t bytes(uint32_t text_embd);

 private:
  Id weight() { return s_.weight(0, 1); }
  Id add(Id a, Id b) { return s_.in_place(s_.dims(a), {a, b}); }
  Id biased(Id of) { return add(of, weight()); }
  Id matrix(Id of, uint64_t rows) { return biased(s_.matrix(weight(), of, rows)); }
  Id gelu(Id of) { return s_.in_place(s_.dims(of), {of}); }
  Id norm(Id of) {
    const Dims dims = s_.dims(of);
    return biased(s_.in_place(dims, {s_.op(dims, {of}), weight()}));
  }
  Id patches();
  Id attention(Id normed);

  const ModelCard& card_;
  bool flash_;
  uint64_t embd_, side_;
  Sketch s_;
};

// ggml_conv_2d(): columns in F16, one product, and twice in another order. Some add a token for the
// whole image, which is one in hundreds.
Id Draw::patches() {
  const uint64_t n = side_ * side_, patch = kColours * card_.patch_size * card_.patch_size;
  const Id image = s_.input({card_.image_size, card_.image_size, kColours}, Sketch::kF32);
  const Id kernel = weight();
  const Id columns = s_.op({patch, side_, side_}, {kernel, image}, Sketch::kF16);
  const Id product = s_.op({n, embd_}, {s_.view(columns, {patch, n}), s_.view(kernel, {patch})});
  const Id turned = s_.op({side_, side_, embd_}, {s_.view(product, {side_, side_, embd_}, true)});
  const Id rows = s_.op({embd_, n}, {s_.view(turned, {embd_, n}, true)});
  const Id positions = s_.input({n}, Sketch::kI32);
  return norm(add(biased(rows), s_.rows({embd_, n}, weight(), positions)));
}

Id Draw::attention(Id normed) {
  const uint64_t heads = std::max(card_.heads, 1U), head = embd_ / heads;
  const uint64_t n = s_.dims(normed).b;
  const Dims dims{head, heads, n};
  Id q = s_.view(matrix(normed, embd_), dims);
  Id k = s_.view(matrix(normed, embd_), dims);
  Id v = s_.view(matrix(normed, embd_), dims);
  for (const Id part : {q, k, v}) s_.expand(part);
  q = s_.permuted(q, {head, n, heads});
  k = s_.permuted(k, {head, n, heads});
  Id out = Sketch::kNone;
  if (flash_) {
    v = s_.cast(s_.permuted(v, {head, n, heads}), Sketch::kF16);
    out = s_.flash(dims, {q, s_.cast(k, Sketch::kF16), v}, 0);
    out = s_.view(out, {embd_, n});
  } else {
    v = s_.op({n, head, heads}, {s_.permuted(v, {n, head, heads})});
    const Dims scores{n, n, heads};
    const Id kq = s_.in_place(scores, {s_.op(scores, {k, q})});
    const Id kqv = s_.op({head, n, heads}, {v, kq});
    out = s_.op({embd_, n}, {s_.permuted(kqv, dims)});
  }
  return matrix(out, embd_);
}

uint64_t Draw::bytes(uint32_t text_embd) {
  Id live = patches();
  for (uint32_t i = 0; i < std::min(card_.layers, kAlike); ++i) {
    const Id between = add(attention(norm(live)), live);
    const Id out = matrix(gelu(matrix(norm(between), card_.ffn)), embd_);
    live = add(between, out);
  }
  const uint64_t n = side_ * side_;
  live = s_.rows({embd_, n}, norm(live), s_.input({n}, Sketch::kI32));
  s_.expand(matrix(gelu(matrix(live, text_embd)), text_embd));
  return s_.reserve({1}).front();
}

}  // namespace

uint64_t draw_vision(const ModelCard& mmproj, uint32_t text_embd, bool flash) {
  if (mmproj.patch_size == 0) return 0;
  return Draw(mmproj, flash).bytes(text_embd);
}

}  // namespace gantry
