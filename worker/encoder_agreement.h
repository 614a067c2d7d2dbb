// Whether another encoder does what the model's own does: the decoder's answers with either.
#pragma once

#include "base/result.h"
#include "worker/encoder_library.h"

struct whisper_context;

namespace gantry {

// libwhisper gives out no encoder's states but the decoder's logits, which is what they are for.
struct EncoderAgreement {
  double largest = 0;    // difference of a logit, with this encoder and with ggml's
  double share = 0;      // of what a logit changes when the encoder is silenced, root mean square
  uint32_t logits = 0;   // compared
  uint32_t choices = 0, same = 0;  // of likeliest tokens
};

// Up to this share an encoder is accepted. With quantised weights ggml rounds what it multiplies to
// 8 bits as well, which OpenVINO does not: 2 to 4 % were seen, and 0.1 % with F16.
constexpr double kPlainShareMax = 0.02, kQuantisedShareMax = 0.1;

// One generated sound, the same on each machine, and the tokens that ggml's encoder makes the
// decoder choose. On the CPU. kWorkerFailed: one of the two cannot encode.
[[nodiscard]] Result<EncoderAgreement> compare_encoders(whisper_context* context,
                                                        DeviceEncoder* encoder, int threads);

}  // namespace gantry
