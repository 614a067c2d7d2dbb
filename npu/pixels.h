// Pixels as a model wants them: resized, cut and normalised as Hugging Face's image processors do
// it with Pillow. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/picture.h"

namespace gantry {

struct ImageSize {
  uint32_t width = 0, height = 0;
  bool operator==(const ImageSize&) const = default;
};

// By Pillow's numbers, as preprocessor_config.json has them.
enum class Resample { kLanczos = 1, kBilinear = 2, kBicubic = 3, kBox = 4 };

// What preprocessor_config.json says, in the order in which it is done.
struct ImageSteps {
  std::optional<ImageSize> resize;         // to these
  std::optional<uint32_t> shortest_edge;   // or this for the shorter side, the ratio kept
  Resample resample = Resample::kBicubic;
  std::optional<ImageSize> crop;           // of the middle; black where there is no picture
  float scale = 1.0F / 255;                // of a value 0 to 255
  std::array<float, 3> mean = {0, 0, 0}, deviation = {1, 1, 1};  // after it
};

// Three bytes a pixel, rows from above.
struct Picture {
  ImageSize size;
  std::vector<uint8_t> rgb;  // (height, width, 3)
};

// Pillow's own arithmetic, so that the bytes are Pillow's.
Picture resized(const PixelView& from, ImageSize to, Resample how);

// The size that the steps end with, for a picture of that size.
ImageSize size_after(const ImageSteps& steps, ImageSize from);

// Whether what is made on the way stays within kPictureSideMax and kPicturePixelsMax: a strip of
// one pixel's width would not.
bool stays_small(const ImageSteps& steps, ImageSize from);

// All steps, where stays_small(). (3, height, width), or (height, width, 3) with `channels_last`.
std::vector<float> prepared(const ImageSteps& steps, const PixelView& from, bool channels_last);

}  // namespace gantry
