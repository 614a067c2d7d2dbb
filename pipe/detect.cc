// A detector answers as one that tells speakers apart, with one speaker.
#include "pipe/detect.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace gantry {

Result<std::vector<SpeechSpan>> find_speech(Session& detector, const std::string& wav,
                                         const http::Cancel& cancel,
                                         const std::function<void(Progress)>& on_progress) {
  const Result<std::vector<SpeakerTurn>> turns =
      detector.worker().diarize(wav, {}, cancel, on_progress);
  if (!turns) return fail(turns.error());
  if (turns->size() > kStretchesMax) {
    return fail(Code::kWorkerFailed, detector.model() + " found too many stretches of speech");
  }
  std::vector<SpeechSpan> speech(turns->size());
  std::ranges::transform(*turns, speech.begin(),
                         [](const SpeakerTurn& turn) { return SpeechSpan{turn.start, turn.end}; });
  return speech;
}

Result<Hearing> hearing_for(ForemanClient& foreman, const std::string& recogniser,
                            const std::string& wav, const http::Cancel& cancel) {
  Hearing hearing{wav};
  const std::string detector = foreman.detector_of(recogniser);
  if (detector.empty()) return hearing;
  const Result<std::unique_ptr<Session>> session = foreman.open(detector, cancel, true, true);
  if (!session) return fail(session.error());
  Result<std::vector<SpeechSpan>> speech = find_speech(**session, wav, cancel, [](Progress) {});
  if (!speech) return fail(speech.error());
  hearing.speech = std::move(*speech);
  return hearing;
}

nlohmann::json stretches_json(const std::vector<SpeechSpan>& speech) {
  nlohmann::json times = nlohmann::json::array();
  for (const SpeechSpan& stretch : speech) {
    times.push_back(stretch.start.count());
    times.push_back(stretch.end.count());
  }
  return times;
}

std::optional<std::vector<SpeechSpan>> parse_stretches(const nlohmann::json& times) {
  if (!times.is_array() || times.size() % 2 != 0) return std::nullopt;
  std::vector<SpeechSpan> speech;
  for (size_t i = 0; i < times.size(); i += 2) {
    if (!times[i].is_number_integer() || !times[i + 1].is_number_integer()) return std::nullopt;
    speech.push_back({Millis(times[i].get<int64_t>()), Millis(times[i + 1].get<int64_t>())});
  }
  return speech;
}

}  // namespace gantry
