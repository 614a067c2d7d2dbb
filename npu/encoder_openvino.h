// encoder_api.h by OpenVINO.
#pragma once

#include "npu/encoder_api.h"

namespace gantry {

const EncoderApi& openvino_encoder_api();

void write_text(const char* text, EncoderText* out);

}  // namespace gantry
