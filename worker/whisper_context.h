// A whisper model, opened by libwhisper.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct whisper_context;
struct whisper_state;

namespace gantry {

struct ContextFree {
  void operator()(whisper_context* context) const;
};
using WhisperContext = std::unique_ptr<whisper_context, ContextFree>;

struct StateFree {
  void operator()(whisper_state* state) const;
};
// What one recognition at a time works in: caches and buffers, beside the weights.
using WhisperState = std::unique_ptr<whisper_state, StateFree>;

enum class OwnState { kYes, kNo };  // whether a context can recognise by itself

// The file is checked by our own parser before the engine opens it. `device`: ggml's name of an
// accelerator, "auto": the first; empty: the CPU.
[[nodiscard]] Result<WhisperContext> open_whisper(const std::string& model,
                                                  const std::string& engine_dir,
                                                  const std::string& device,
                                                  OwnState own = OwnState::kYes);
[[nodiscard]] Result<WhisperState> make_state(whisper_context* context);

}  // namespace gantry
