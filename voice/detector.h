// Where somebody speaks in a recording, by Silero's network under sherpa-onnx.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "voice/options.h"
#include "worker/speech_protocol.h"

namespace gantry {

// The probability above which a window of 32 ms is speech; Silero's own.
constexpr double kSpeechThreshold = 0.5;

class Detector {
 public:
  virtual ~Detector() = default;
  // Of a 16 kHz mono wav, in one pass and constant memory: each stretch as a turn of speaker 0, in
  // order, to 32 ms; a pause of kPauseLeast or more parts two. The same recording gives the same
  // ones, whatever was heard before. `threshold` stands before the options' one. Ends with
  // kCancelled soon after `cancel` is set.
  [[nodiscard]] virtual Result<SpeechDone> detect(
      const std::string& wav, std::optional<double> threshold, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& tell) = 0;
};

// A model that is none may end the process: run it in one that may end.
[[nodiscard]] Result<std::unique_ptr<Detector>> load_detector(const VoiceOptions& options);

}  // namespace gantry
