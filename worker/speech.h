// Recognition with libwhisper, inside a worker process: one model, one recording at a time, several
// of its pieces at once.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "worker/encoder_chain.h"
#include "worker/speech_protocol.h"

namespace gantry {

struct SpeechOptions {
  std::string model;             // whisper.cpp's ggml file
  std::string engine_dir;        // folder of ggml's backends
  int threads = 1;               // together, but one a piece at least
  int parallel = 1;              // pieces at once
  std::string language = "auto";  // English-only models are always "en"
  Millis window{0};              // longest piece; 0: what the model's encoder takes
  std::string device;            // ggml's name of an accelerator, "auto": the first; empty: none
  EncoderOptions encoder;        // OpenVINO's, in the place of ggml's
};

class Recogniser {
 public:
  virtual ~Recogniser() = default;
  virtual Millis window() const = 0;
  virtual std::string encoder() const = 0;  // the device that encodes now
  // Pieces in order; on_progress after each piece, or after each segment of it, from the caller's
  // thread. Ends with kCancelled soon after `cancel` is set. Same input, same output, however many
  // pieces at once; as long as each has as many threads. Not thread-safe.
  // Where it begins later, the language is still that of the first piece.
  [[nodiscard]] virtual Result<SpeechDone> transcribe(
      const Hearing& hearing, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& on_progress) = 0;
};

// The file is checked by our own parser before the engine opens it.
[[nodiscard]] Result<std::unique_ptr<Recogniser>> load_recogniser(const SpeechOptions& options);

}  // namespace gantry
