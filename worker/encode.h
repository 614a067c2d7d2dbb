// Speech to mp3, FLAC or Ogg Opus, piece by piece: what gantry-encode is made of. The formats that
// libsndfile writes into a pipe, where nothing is ever gone back to: a stream's head does not know
// its length.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "worker/resample.h"
#include "worker/sound_format.h"

namespace gantry {

// What a format can have: the rate itself, or the next one that is not less. mp3 has the nine of
// MPEG, Opus 8, 12, 16, 24 and 48 kHz.
uint32_t encoded_rate(SoundFormat format, uint32_t rate);

// One thread at a time; constant memory.
class SoundEncoder {
 public:
  virtual ~SoundEncoder() = default;
  // 16-bit mono at `rate`; the bytes that are made by then, often none.
  [[nodiscard]] virtual Result<std::string> put(std::span<const int16_t> samples) = 0;
  // The rest. Good for nothing afterwards.
  [[nodiscard]] virtual Result<std::string> finish() = 0;
};

// kUnsupported: no such format, or this machine's libsndfile was built without it.
[[nodiscard]] Result<std::unique_ptr<SoundEncoder>> open_sound_encoder(SoundFormat format,
                                                                       uint32_t rate);

// The protocol of gantry-encode: each line of `in` is base 64 of samples (little-endian, perhaps
// none) and is answered by a line of base 64; a line of kSoundEnd ends the sound. An error is a
// line of '!', the message, a tab and the remedy, and is the last one. False after an error.
bool encode_lines(std::istream& in, std::ostream& out, const std::string& format,
                  const std::string& rate);

}  // namespace gantry
