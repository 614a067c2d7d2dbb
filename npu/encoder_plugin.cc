// libgantry-encoder.so: OpenVINO behind one symbol.
#include "npu/encoder_openvino.h"

extern "C" __attribute__((visibility("default"))) const gantry::EncoderApi* gantry_encoder_api() {
  return &gantry::openvino_encoder_api();
}
