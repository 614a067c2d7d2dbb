// Pillow's two passes in fixed point, then the middle, then floats.
#include "npu/pixels.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gantry {

namespace {

constexpr int kPrecision = 32 - 8 - 2;  // bits after the point, as Pillow has them

double sinc(double x) {
  if (x == 0) return 1;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double filter(Resample how, double x) {
  const double a = std::abs(x);
  switch (how) {
    case Resample::kBox:
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    case Resample::kBilinear:
      return a < 1 ? 1 - a : 0;
    case Resample::kBicubic:
      if (a < 1) return (1.5 * a - 2.5) * a * a + 1;
      return a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
    case Resample::kLanczos:
      return a < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
  return 0;
}

double support(Resample how) {
  switch (how) {
    case Resample::kBox: return 0.5;
    case Resample::kBilinear: return 1;
    case Resample::kBicubic: return 2;
    case Resample::kLanczos: return 3;
  }
  return 1;
}

// For each pixel of the result: where its weights begin, and the weights.
struct Taps {
  uint32_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Taps> taps(uint32_t from, uint32_t to, Resample how) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);
  const double reach = support(how) * stretch;
  std::vector<Taps> out(to);
  std::vector<double> weights;
  for (uint32_t i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const auto first = static_cast<uint32_t>(std::max(0.0, std::trunc(centre - reach + 0.5)));
    const auto end = static_cast<uint32_t>(
        std::min(static_cast<double>(from), std::trunc(centre + reach + 0.5)));
    weights.clear();
    double sum = 0;
    for (uint32_t x = first; x < end; ++x) {
      weights.push_back(filter(how, (x - centre + 0.5) / stretch));
      sum += weights.back();
    }
    out[i].first = first;
    for (const double weight : weights) {
      const double fixed = (sum == 0 ? weight : weight / sum) * (1 << kPrecision);
      out[i].weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return out;
}

uint8_t clip(int64_t sum) {
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kPrecision, 0, 255));
}

constexpr int64_t kHalf = int64_t{1} << (kPrecision - 1);

// (height, width, 3) -> (height, to, 3)
std::vector<uint8_t> across(const PixelView& from, uint32_t to, Resample how) {
  const std::vector<Taps> all = taps(from.width, to, how);
  std::vector<uint8_t> out(size_t{from.height} * to * 3);
  for (size_t y = 0; y < from.height; ++y) {
    const std::span<const std::byte> row = from.rgb.subspan(y * from.width * 3, from.width * 3);
    for (size_t x = 0; x < to; ++x) {
      for (size_t c = 0; c < 3; ++c) {
        int64_t sum = kHalf;
        for (size_t k = 0; k < all[x].weights.size(); ++k) {
          sum += int64_t{all[x].weights[k]} *
                 std::to_integer<int64_t>(row[(all[x].first + k) * 3 + c]);
        }
        out[(y * to + x) * 3 + c] = clip(sum);
      }
    }
  }
  return out;
}

// (height, row) -> (to, row)
std::vector<uint8_t> down(const std::vector<uint8_t>& from, uint32_t height, size_t row,
                          uint32_t to, Resample how) {
  const std::vector<Taps> all = taps(height, to, how);
  std::vector<uint8_t> out(to * row);
  for (size_t y = 0; y < to; ++y) {
    for (size_t x = 0; x < row; ++x) {
      int64_t sum = kHalf;
      for (size_t k = 0; k < all[y].weights.size(); ++k) {
        sum += int64_t{all[y].weights[k]} * from[(all[y].first + k) * row + x];
      }
      out[y * row + x] = clip(sum);
    }
  }
  return out;
}

ImageSize resize_to(const ImageSteps& steps, ImageSize from) {
  if (steps.resize) return *steps.resize;
  if (!steps.shortest_edge) return from;
  const uint64_t edge = *steps.shortest_edge;
  const uint64_t shorter = std::min(from.width, from.height);
  const uint64_t longer = std::max(from.width, from.height);
  const auto other = static_cast<uint32_t>(edge * longer / shorter);
  const auto same = static_cast<uint32_t>(edge);
  return from.width <= from.height ? ImageSize{same, other} : ImageSize{other, same};
}

// Python's (a - b) // 2.
int64_t half_of(int64_t difference) {
  return difference >= 0 ? difference / 2 : -((-difference + 1) / 2);
}

}  // namespace

Picture resized(const PixelView& from, ImageSize to, Resample how) {
  Picture out{to, {}};
  if (to.width == from.width) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(from.rgb.data());
    out.rgb.assign(bytes, bytes + from.rgb.size());
  } else {
    out.rgb = across(from, to.width, how);
  }
  if (to.height != from.height) {
    out.rgb = down(out.rgb, from.height, size_t{to.width} * 3, to.height, how);
  }
  return out;
}

ImageSize size_after(const ImageSteps& steps, ImageSize from) {
  return steps.crop ? *steps.crop : resize_to(steps, from);
}

bool stays_small(const ImageSteps& steps, ImageSize from) {
  const uint64_t shorter = std::min(from.width, from.height);
  if (steps.shortest_edge && !steps.resize) {
    const uint64_t longer = uint64_t{*steps.shortest_edge} * std::max(from.width, from.height);
    if (longer > kPictureSideMax * shorter) return false;
  }
  const ImageSize size = resize_to(steps, from);
  // The first pass makes rows of the new width, as many as there were.
  return uint64_t{size.width} * std::max(size.height, from.height) <= kPicturePixelsMax;
}

std::vector<float> prepared(const ImageSteps& steps, const PixelView& from, bool channels_last) {
  const ImageSize size = resize_to(steps, {from.width, from.height});
  const Picture picture = resized(from, size, steps.resample);
  const ImageSize end = size_after(steps, {from.width, from.height});
  const int64_t left = half_of(int64_t{size.width} - end.width);
  const int64_t top = half_of(int64_t{size.height} - end.height);
  const size_t plane = size_t{end.width} * end.height;
  std::vector<float> out(3 * plane);
  for (size_t y = 0; y < end.height; ++y) {
    for (size_t x = 0; x < end.width; ++x) {
      const int64_t at_x = left + static_cast<int64_t>(x), at_y = top + static_cast<int64_t>(y);
      const bool inside = at_x >= 0 && at_y >= 0 && at_x < size.width && at_y < size.height;
      const size_t pixel =
          inside ? static_cast<size_t>(at_y) * size.width + static_cast<size_t>(at_x) : 0;
      for (size_t c = 0; c < 3; ++c) {
        const float value = inside ? picture.rgb[pixel * 3 + c] : 0.0F;
        const size_t at = y * end.width + x;
        out[channels_last ? at * 3 + c : c * plane + at] =
            (value * steps.scale - steps.mean[c]) / steps.deviation[c];
      }
    }
  }
  return out;
}

}  // namespace gantry
