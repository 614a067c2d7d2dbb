// espeak-ng as a worker: it loads nothing, and every utterance is a process that ends.
#include "voice/serve_espeak.h"

#include <algorithm>

#include "voice/espeak.h"
#include "worker/call_server.h"

namespace gantry {

namespace {

constexpr const char* kDefaultVoice = "en-us";

Result<std::string> own_name(const EspeakVoices& known,
                             const std::vector<std::pair<std::string, std::string>>& voices,
                             const std::string& voice) {
  if (voice.empty() || voice == "default") {
    return voices.empty() ? std::string(kDefaultVoice) : voices.front().second;
  }
  const auto named =
      std::ranges::find(voices, voice, &std::pair<std::string, std::string>::first);
  const std::string name = named == voices.end() ? voice : named->second;
  if (known.has(name)) return name;
  std::string list;
  for (const auto& [other, id] : voices) list += other + ", ";
  for (const std::string& language : known.languages) list += language + ", ";
  return fail(Code::kNotFound, "there is no voice " + voice,
              "there are " + list + "each with variants such as en-us+f3");
}

}  // namespace

int serve_espeak(const std::vector<std::pair<std::string, std::string>>& voices, int in,
                 int out) {
  const Result<EspeakVoices> known = espeak_voices();
  if (!known) {
    say_speech(out, known.error());
    return exit_code(known.error().code);
  }
  const auto answer = [&](const SpeechCall& call, const std::atomic<bool>& cancel,
                          const auto& tell) -> Result<SpeechDone> {
    if (!call.utterance) return fail(other_call("speaks"));
    Utterance utterance = *call.utterance;
    Result<std::string> voice = own_name(*known, voices, utterance.voice);
    if (!voice) return fail(voice.error());
    utterance.voice = *voice;
    uint64_t bytes = 0;
    const Result<void> done = espeak_speak(utterance, cancel, [&](std::string_view pcm) {
      bytes += pcm.size();
      tell(SpeechProgress{.pcm = std::string(pcm)});
      return true;
    });
    if (!done) return fail(done.error());
    return SpeechDone{Millis(static_cast<int64_t>(bytes / 2 * 1000 / kEspeakRate))};
  };
  answer_calls(SpeechReady{Millis(0), kEspeakRate}, in, out, answer);
  return 0;
}

}  // namespace gantry
