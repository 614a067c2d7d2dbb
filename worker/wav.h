// The one kind of sound file recognition reads: 16 kHz mono 16-bit PCM in a RIFF wav.
#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace gantry {

constexpr uint32_t kSampleRate = 16'000;
constexpr Bytes kWavHeadMax = KiB(64);  // chunks before the samples must end within this

struct WavInfo {
  uint64_t data_offset = 0;  // of the first sample, in bytes
  uint64_t samples = 0;
  Millis duration() const { return Millis(static_cast<int64_t>(samples * 1000 / kSampleRate)); }
};

// Pure. `head` is the file's beginning (kWavHeadMax or the whole file), `file` its real size.
// kCorrupt: not a wav, or cut short; kUnsupported: another rate, channel count or coding;
// kTooLarge: longer than kAudioMax.
[[nodiscard]] Result<WavInfo> parse_wav(std::span<const std::byte> head, Bytes file);

// Reads ranges of samples; memory is what the caller asks for at once.
class WavFile {
 public:
  [[nodiscard]] static Result<WavFile> open(const std::string& path);
  const WavInfo& info() const { return info_; }
  // Samples [first, first + count) of the file, fewer at its end.
  [[nodiscard]] Result<std::vector<int16_t>> read(uint64_t first, uint64_t count);

 private:
  std::string path_;
  std::ifstream file_;
  WavInfo info_;
};

}  // namespace gantry
