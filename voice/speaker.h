// A loaded text-to-speech model of sherpa-onnx. One utterance at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>

#include "voice/options.h"

namespace gantry {

class Speaker {
 public:
  virtual ~Speaker() = default;
  virtual uint32_t rate() const = 0;
  // Sound as it is made, 16-bit mono; ends with kCancelled soon after `cancel` is set. kNotFound: a
  // voice that it does not have.
  [[nodiscard]] virtual Result<void> speak(
      const Utterance& utterance, const std::atomic<bool>& cancel,
      const std::function<void(std::string_view pcm)>& on_pcm) = 0;
};

// A model that is none may end the process: run it in one that may end.
[[nodiscard]] Result<std::unique_ptr<Speaker>> load_speaker(const VoiceOptions& options);

}  // namespace gantry
