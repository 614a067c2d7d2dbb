// A picture to plain pixels, by ffmpeg in a process of its own: its bytes are a stranger's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/os.h"
#include "base/result.h"
#include "worker/worker.h"

namespace gantry {

constexpr uint64_t kPicturePixelsMax = 40'000'000;  // of one; a telephone's have 12 million
constexpr uint32_t kPictureSideMax = 20'000;

// What it is by its first bytes: "png" or "jpeg"; empty: neither.
std::string_view picture_kind(std::string_view head);

// Pure: ffmpeg's command line. The input is named by the file protocol alone and read as `kind`
// alone; the output is a PPM.
std::vector<std::string> picture_argv(std::string_view kind, const std::string& file,
                                      const std::string& ppm);

// One png or jpeg to `ppm`: 8 bits, RGB, without transparency, as it lies in the file (no rotation
// by EXIF). kUnsupported: neither of both; kCorrupt: damaged; kTooLarge: over the limits above;
// kUnavailable: there is no ffmpeg. Nothing is left at `ppm` on failure.
[[nodiscard]] Result<void> decode_picture(Os& os, const WorkerContext& context,
                                          const std::string& file, const std::string& ppm,
                                          const http::Cancel& cancel);

// Rows from above, three bytes a pixel.
struct PixelView {
  uint32_t width = 0, height = 0;
  std::span<const std::byte> rgb;  // (height, width, 3)
};

// Pure: a PPM (P6, 8 bits) as decode_picture writes it. kCorrupt.
[[nodiscard]] Result<PixelView> parse_ppm(std::span<const std::byte> file);

}  // namespace gantry
