// One pass over a wav.
#include "worker/levels.h"

#include <algorithm>
#include <span>

namespace gantry {

Result<std::vector<uint8_t>> wav_levels(WavFile* wav, const std::atomic<bool>& cancel) {
  std::vector<uint8_t> levels;
  levels.reserve(wav->info().samples / kFrameSamples + 1);
  for (uint64_t at = 0; at < wav->info().samples; at += kSampleRate) {
    if (cancel) return fail(Code::kCancelled, "cancelled");
    const Result<std::vector<int16_t>> second = wav->read(at, kSampleRate);
    if (!second) return fail(second.error());
    std::span<const int16_t> rest(*second);
    while (!rest.empty()) {
      const size_t frame = std::min<size_t>(kFrameSamples, rest.size());
      levels.push_back(frame_level(rest.first(frame)));
      rest = rest.subspan(frame);
    }
  }
  return levels;
}

Result<std::vector<int16_t>> piece_samples(WavFile* wav, const Piece& piece) {
  const uint64_t first = static_cast<uint64_t>(piece.begin) * kFrameSamples;
  return wav->read(first, static_cast<uint64_t>(piece.end - piece.begin) * kFrameSamples);
}

}  // namespace gantry
