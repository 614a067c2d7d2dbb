// Where a recording is cut so that each piece fits a speech model's window: pure functions over
// the loudness of 20 ms frames.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/segment.h"

namespace gantry {

constexpr Millis kFrame{20};
constexpr uint32_t kFrameSamples = 320;
// Parts two utterances; stops within words are shorter.
constexpr Millis kPauseLeast{300};

// Loudness of a frame in half decibels above -100 dBFS: 0 is silence, 200 full scale. A byte a
// frame: ten hours take 1.8 MB. The mean is removed, so that an offset of the recorder is silent.
uint8_t frame_level(std::span<const int16_t> samples);

struct CutOptions {
  Millis window{0};  // no piece is longer
  // Utterances that fit this together become one piece; 0: none do. For models whose cost is a
  // whole window whatever is in it, or that understand more with the words around; a model with a
  // short window hears one utterance at a time.
  Millis join{0};
  // Where a detector found speech, in order; absent: by loudness.
  std::optional<std::span<const SpeechSpan>> speech = {};
};
// Of this recording, by its detector's word if there is one.
CutOptions cut_options(const Hearing& hearing, Millis window, Millis join);

// One piece of the recording, frames [begin, end), with the speech in it at [voice, hush).
// The margins between are silence that helps the model to find the first and last sound.
struct Piece {
  uint32_t begin = 0, end = 0;
  uint32_t voice = 0, hush = 0;
  auto operator<=>(const Piece&) const = default;
};

// In order, without overlap, none longer than the window (at least ten frames). Silence is in no
// piece. Speech without a pause is cut at the quietest place of the window's second half.
std::vector<Piece> cut_speech(std::span<const uint8_t> levels, const CutOptions& options);

// The first piece that does not end before `from`; it is cut to begin there at the earliest.
size_t skip_heard(std::vector<Piece>* pieces, Millis from);

inline Millis frame_time(uint32_t frame) { return kFrame * frame; }

}  // namespace gantry
