// What the graphs of encoders have in common, with the order of operands that llama.cpp's mtmd
// gives them.
#pragma once

#include "plan/sketch.h"

namespace gantry {

class DrawParts {
 protected:
  using Id = Sketch::Id;
  using Dims = Sketch::Dims;

  Id weight() { return s_.weight(0, 1); }
  Id add(Id a, Id b) { return s_.in_place(s_.dims(a), {a, b}); }
  Id biased(Id of) { return add(of, weight()); }
  Id matrix(Id of, uint64_t rows) { return biased(s_.matrix(weight(), of, rows)); }
  Id each(Id of) { return s_.in_place(s_.dims(of), {of}); }  // GELU, ReLU, a scale
  Id mean_norm(Id of) {
    const Dims dims = s_.dims(of);
    return biased(s_.in_place(dims, {s_.op(dims, {of}), weight()}));
  }
  Id rms_norm(Id of) {
    const Dims dims = s_.dims(of);
    return s_.in_place(dims, {s_.in_place(dims, {of}), weight()});
  }
  Id columns_of(Id kernel, Id of, Dims dims) { return s_.op(dims, {kernel, of}, Sketch::kF16); }
  // ggml_conv_2d(): columns in F16, one product, and that in another order.
  Id convolution(Id of, uint64_t taps, Dims to) {
    const uint64_t row = taps * s_.dims(of).c, cells = to.a * to.b * to.d;
    const Id kernel = weight();
    const Id columns = columns_of(kernel, of, {row, to.a, to.b, to.d});
    const Id product =
        s_.op({cells, to.c}, {s_.view(columns, {row, cells}), s_.view(kernel, {row})});
    return s_.op(to, {s_.view(product, to, true)});
  }

  Sketch s_;
};

}  // namespace gantry
