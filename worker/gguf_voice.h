// Speech out with a GGUF model and its projector, as llama.cpp runs Pocket TTS and Qwen3-TTS:
// inside a worker process, one utterance at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "worker/segment.h"

namespace gantry {

struct GgufVoiceOptions {
  std::string model, projector;
  std::string reference_audio;  // a recording of the voice to be like; empty: the model's own
  std::string language;         // Qwen3-TTS: "en", "german"; empty: English
  std::string engine_dir;       // folder of ggml's backends
  std::string plugin;           // the streamer; with `stream` alone
  std::string stream;           // its preset; empty: nothing streams
  int threads = 1;
};

class GgufVoice {
 public:
  virtual ~GgufVoice() = default;
  virtual uint32_t rate() const = 0;
  // Sound as it is made, 16-bit mono; the same text is the same sound. Ends with kCancelled soon
  // after `cancel` is set. kNotFound: a voice by name; kUnsupported: another speed.
  [[nodiscard]] virtual Result<void> speak(
      const Utterance& utterance, const std::atomic<bool>& cancel,
      const std::function<void(std::string_view pcm)>& on_pcm) = 0;
};

// Files are checked by our own parser before llama.cpp opens them.
[[nodiscard]] Result<std::unique_ptr<GgufVoice>> load_gguf_voice(const GgufVoiceOptions& options);

// Loads and answers the speech protocol until `in` ends; the exit status.
int serve_gguf_voice(const GgufVoiceOptions& options, int in, int out);

}  // namespace gantry
