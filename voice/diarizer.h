// Who spoke when: a segmentation model, speaker embeddings and clustering, by sherpa-onnx.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "voice/options.h"

namespace gantry {

// The engine holds all samples of a recording as floats: two hours are 460 MB.
constexpr Millis kDiarizeMax{2LL * 3600 * 1000};
// As pyannote's own pipeline has it; sherpa-onnx's default.
constexpr double kClusterThreshold = 0.5;

// How far the window of ten seconds moves on, in windows: a second where the recording is half an
// hour at most; another one for each further half hour, so that there are never more stretches of
// voices to compare (their number counts squared, in bytes and in time).
float window_shift(Millis duration);

class Diarizer {
 public:
  virtual ~Diarizer() = default;
  // Of a 16 kHz mono wav; by start, speakers numbered in the order in which they are first heard.
  // Ends when it ends: the engine cannot be told to stop.
  [[nodiscard]] virtual Result<std::vector<SpeakerTurn>> diarize(
      const std::string& wav, const SpeakerWish& wish,
      const std::function<void(double fraction)>& on_progress) = 0;
};

// A model that is none may end the process: run it in one that may end.
[[nodiscard]] Result<std::unique_ptr<Diarizer>> load_diarizer(const VoiceOptions& options);

// Pure: by start, and 0 is who is heard first.
void renumber(std::vector<SpeakerTurn>* turns);

}  // namespace gantry
