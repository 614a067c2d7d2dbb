// Recognition with libwhisper, inside a worker process: one model, one recording at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "worker/speech_protocol.h"

namespace gantry {

struct SpeechOptions {
  std::string model;             // whisper.cpp's ggml file
  std::string engine_dir;        // folder of ggml's backends
  int threads = 1;
  std::string language = "auto";  // English-only models are always "en"
  Millis window{0};              // longest piece; 0: what the model's encoder takes
  std::string device;            // ggml's name of an accelerator, "auto": the first; empty: none
};

class Recogniser {
 public:
  virtual ~Recogniser() = default;
  virtual Millis window() const = 0;
  // Pieces in order; on_progress after each piece, or after each segment of it. Ends with
  // kCancelled soon after `cancel` is set. Same input, same output. Not thread-safe.
  [[nodiscard]] virtual Result<SpeechDone> transcribe(
      const std::string& wav, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& on_progress) = 0;
};

// The file is checked by our own parser before the engine opens it.
[[nodiscard]] Result<std::unique_ptr<Recogniser>> load_recogniser(const SpeechOptions& options);

}  // namespace gantry
