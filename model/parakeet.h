// What llama.cpp (ggml 0.25.3) takes for granted of a Parakeet encoder.
#pragma once

#include "model/card.h"
#include "model/gguf.h"

namespace gantry {

// Fills what the encoder's graph needs beside the widths that every encoder names. kUnsupported for
// a file at which the engine would end itself instead of refusing it: another share of time, an
// even convolution, a spectrum of other sizes, or no projection. kTooLarge beyond the limits.
[[nodiscard]] Result<void> read_parakeet(const Gguf& gguf, ModelCard& card);

}  // namespace gantry
