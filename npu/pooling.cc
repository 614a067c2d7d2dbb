// Pooling, in double so that the order of tokens hardly matters.
#include "npu/pooling.h"

#include <cmath>

namespace gantry {

std::string_view pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean: return "mean";
    case Pooling::kCls: return "cls";
    case Pooling::kLast: return "last";
  }
  return "";
}

std::vector<float> pooled(Pooling pooling, std::span<const float> states, size_t width,
                          bool normalize) {
  const size_t tokens = states.size() / width;
  const size_t first = pooling == Pooling::kLast ? tokens - 1 : 0;
  const size_t count = pooling == Pooling::kMean ? tokens : 1;
  std::vector<double> sums(width, 0.0);
  for (size_t t = first; t < first + count; ++t) {
    for (size_t i = 0; i < width; ++i) sums[i] += states[t * width + i];
  }
  double squares = 0;
  for (double& sum : sums) {
    sum /= static_cast<double>(count);
    squares += sum * sum;
  }
  // A vector of nothing but zeros has no direction and stays what it is.
  const double scale = normalize && squares > 0 ? 1 / std::sqrt(squares) : 1;
  std::vector<float> out(width);
  for (size_t i = 0; i < width; ++i) out[i] = static_cast<float>(sums[i] * scale);
  return out;
}

}  // namespace gantry
