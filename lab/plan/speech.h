// A speech model, twice: the formulas' bytes and what whisper.cpp says in the log of a worker that
// loads it.
#pragma once

#include "lab/plan/differ.h"
#include "model/whisper.h"

namespace gantry {

// A file of this shape in which nothing is written but its front and the tensors' headers.
// weight_type: of ggml; F16 1, Q5_0 6, Q8_0 8.
[[nodiscard]] Result<std::string> sparse_speech_model(const DifferPaths& paths,
                                                      const WhisperShape& shape,
                                                      uint32_t weight_type);

// On the CPU, or on a card that is not here. Kinds: "weights", "kv", "state" (the cross cache and
// a layer's scratch), and each graph by its name, nodes included.
[[nodiscard]] Result<std::vector<Difference>> differ_speech(const DifferPaths& paths,
                                                            const std::string& file, bool on_card);

}  // namespace gantry
