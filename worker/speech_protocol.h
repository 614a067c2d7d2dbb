// What a speech worker and its client say to each other: one JSON object a line.
//   client: {"op":"transcribe","wav":PATH,"from_ms":N,"speech_ms":[START,END,...]}
//           {"op":"cancel"}; closing its side ends the worker
//           {"op":"diarize","wav":PATH,"speakers":N,"threshold":X}
//           {"op":"speak","text","voice","speed"}
//   worker: {"ready":true,"window_ms":N,"rate":N,"encoder"}  once, when the model is loaded; rate:
//           of the sound that it makes, if any; encoder: what encodes, of one that recognises
//           {"segment":{"start_ms","end_ms","text","confidence","avg_logprob","no_speech_prob",
//             "words":[{"start_ms","end_ms","word","probability"}],"low_confidence":true,
//             "encoder"},"progress":0..1,"heard_ms":N}
//           {"progress":0..1}                a piece without words
//           {"turn":{"start_ms","end_ms","speaker"},"progress":0..1}
//           {"pcm":BASE64,"progress":0..1}   16-bit mono, in the order of time
//           {"done":true,"audio_ms":N,"encoder_changes":[{"from","to","cause","at_ms"}]}
//           or {"error":{"code","message","remedy"}}
// "from_ms" and "heard_ms" as Hearing::from and Progress::heard, 0 where they are not there;
// "speech_ms": Hearing::speech. A worker that only detects speech answers "diarize": all is
// speaker 0. A segment's "encoder", and "encoder_changes", only where an encoder by OpenVINO was
// asked for; "low_confidence" only where it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "worker/segment.h"

namespace gantry {

// A line longer than this is not ours.
constexpr Bytes kSpeechLineMax = KiB(256);
constexpr Bytes kSpeechCallMax = MiB(4);  // with all stretches of ten hours
constexpr size_t kEncoderChangesMax = 16;  // of one recording: a chain has four links

// Bytes of sound in a line, so that it stays within the limit as text.
constexpr size_t kSpeechPcmMax = 128 << 10;
constexpr uint32_t kSoundRateMin = 4'000, kSoundRateMax = 96'000;

struct SpeechReady {
  Millis window{0};
  uint32_t rate = 0;
  std::string encoder = {};  // the device that encodes
};
struct SpeechProgress {
  std::optional<Segment> segment;
  double fraction = 0;
  std::optional<SpeakerTurn> turn = {};
  std::string pcm = {};  // whole samples
  Millis heard{0};       // all segments of what lies before were told in earlier lines
};
struct SpeechDone {
  Millis audio{0};
  std::vector<EncoderChange> encoder_changes = {};
};
using SpeechAnswer = std::variant<SpeechReady, SpeechProgress, SpeechDone, Error>;

struct SpeechCall {
  bool cancel = false;
  std::string wav = {};  // when not cancel: to be transcribed, or with `speakers` to be diarized
  Millis from{0};        // of a transcript
  std::optional<std::vector<SpeechSpan>> speech = {};  // likewise
  std::optional<SpeakerWish> speakers = {};
  std::optional<Utterance> utterance = {};  // to be spoken
};

std::string speech_line(const SpeechAnswer& answer);  // without the line break
std::string speech_line(const SpeechCall& call);

// Pure. kCorrupt for everything that is not one of the above: wrong types, times that run
// backwards, fractions outside 0..1. Unknown keys are ignored.
[[nodiscard]] Result<SpeechAnswer> parse_speech_answer(std::string_view line);
[[nodiscard]] Result<SpeechCall> parse_speech_call(std::string_view line);

}  // namespace gantry
