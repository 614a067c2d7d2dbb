// RIFF's head, written byte by byte.
#include "pipe/pcm.h"

#include <algorithm>

namespace gantry {

namespace {

void number(std::string* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

}  // namespace

std::string wav_head(uint32_t rate, uint64_t pcm_bytes) {
  const uint64_t bytes = std::min(pcm_bytes, kPcmUnknown);
  std::string head = "RIFF";
  number(&head, bytes + kWavHeadBytes - 8, 4);
  head += "WAVEfmt ";
  number(&head, 16, 4);
  number(&head, 1, 2);  // PCM
  number(&head, 1, 2);  // channel
  number(&head, rate, 4);
  number(&head, 2ULL * rate, 4);
  number(&head, 2, 2);
  number(&head, 16, 2);
  head += "data";
  number(&head, bytes, 4);
  return head;
}

Millis wav_duration(Bytes file) {
  constexpr uint64_t kBytesPerMilli = 32;
  return Millis(static_cast<int64_t>((file - Bytes{kWavHeadBytes}).n / kBytesPerMilli));
}

std::string silence(uint32_t rate, uint32_t ms) {
  return std::string(2 * (static_cast<uint64_t>(rate) * ms / 1000), '\0');
}

}  // namespace gantry
