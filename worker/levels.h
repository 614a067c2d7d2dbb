// How loud a recording is, frame by frame: what silence.h cuts it by.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "worker/silence.h"
#include "worker/wav.h"

namespace gantry {

// One byte a frame of 20 ms; reads a second at a time. kCancelled once `cancel` is set.
[[nodiscard]] Result<std::vector<uint8_t>> wav_levels(WavFile* wav,
                                                      const std::atomic<bool>& cancel);

// The samples of a piece.
[[nodiscard]] Result<std::vector<int16_t>> piece_samples(WavFile* wav, const Piece& piece);

}  // namespace gantry
