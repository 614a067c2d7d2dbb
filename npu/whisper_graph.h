// Whisper's encoder as an OpenVINO model: static shapes, which NPUs want, and weights of 16 bits.
#pragma once

#include <string>

#include "npu/encoder_api.h"

namespace gantry {

// Writes `xml` and the .bin beside it. The error, or nothing. Memory: the weights at 16 bits and
// the largest tensor as floats.
std::string write_whisper_encoder(const EncoderModel& model, const std::string& xml);

}  // namespace gantry
