// Speech recognition by sherpa-onnx's models. One recording at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "voice/options.h"
#include "worker/speech_protocol.h"

namespace gantry {

// Longest piece at once: what whisper takes, and a length at which the others still do well.
constexpr Millis kListenWindow{28'000};
// Utterances that Moonshine hears together: of 119 words that a person reads 10 were wrong where
// each was heard alone, 3 in pieces of 12 s, 2 of 15 and 20, 3 of 28.
constexpr Millis kMoonshineJoin{15'000};

class Listener {
 public:
  virtual ~Listener() = default;
  // Of a 16 kHz mono wav, cut at silences; a segment for each piece with words, or each sentence.
  // Its confidence is 1 where the engine tells none. Ends with kCancelled after the piece in which
  // `cancel` is set.
  [[nodiscard]] virtual Result<SpeechDone> listen(
      const Hearing& hearing, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& tell) = 0;
};

// A model that is none may end the process: run it in one that may end.
[[nodiscard]] Result<std::unique_ptr<Listener>> load_listener(const VoiceOptions& options);

}  // namespace gantry
