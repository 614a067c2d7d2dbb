// Sound as it is handed on: 16-bit mono PCM, with or without the head of a wav. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"

namespace gantry {

constexpr uint64_t kWavHeadBytes = 44;

// The head of a wav with so many bytes of samples after it; of a stream whose end is not known,
// kPcmUnknown, as programs write it that make sound into a pipe.
constexpr uint64_t kPcmUnknown = UINT32_MAX - kWavHeadBytes;
std::string wav_head(uint32_t rate, uint64_t pcm_bytes);

// Of a recording that was decoded for recognition (16 kHz mono), from its size.
Millis wav_duration(Bytes file);

// So much silence, between two speakers or paragraphs.
std::string silence(uint32_t rate, uint32_t ms);

}  // namespace gantry
