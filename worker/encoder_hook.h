// Where libwhisper asks somebody else for its encoder. Upstream's OpenVINO encoder ignores what a
// failed device says and decodes whatever the buffer holds; this one is ours.
#pragma once

#include <cstdint>
#include <span>

struct whisper_context;
struct whisper_state;

namespace gantry {

class EncoderHook {
 public:
  virtual ~EncoderHook() = default;
  // mel (mels, frames) to states (states, width), from the thread that recognises. libwhisper hears
  // of no failure: whoever hooks keeps it, leaves zeros in `states` and ends the call.
  virtual void encode(std::span<const float> mel, uint32_t mels, uint32_t frames,
                      std::span<float> states, uint32_t width) = 0;
};

// From the next call on this hook encodes for the context's own state, or for another one; null:
// ggml does. The hook outlives the state or is unhooked.
void hook_encoder(whisper_context* context, EncoderHook* hook);
void hook_encoder(whisper_context* context, whisper_state* state, EncoderHook* hook);

}  // namespace gantry
