// What a speech worker and its client say to each other: one JSON object a line.
//   client: {"op":"transcribe","wav":PATH}   {"op":"cancel"}; closing its side ends the worker
//           {"op":"diarize","wav":PATH,"speakers":N,"threshold":X}
//           {"op":"speak","text","voice","speed"}
//   worker: {"ready":true,"window_ms":N,"rate":N}  once, when the model is loaded; rate:
//           of the sound that it makes, if any
//           {"segment":{"start_ms","end_ms","text","confidence"},"progress":0..1}
//           {"progress":0..1}                a piece without words
//           {"turn":{"start_ms","end_ms","speaker"},"progress":0..1}
//           {"pcm":BASE64,"progress":0..1}   16-bit mono, in the order of time
//           {"done":true,"audio_ms":N}  or  {"error":{"code","message","remedy"}}
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "worker/segment.h"

namespace gantry {

// A line longer than this is not ours.
constexpr Bytes kSpeechLineMax = KiB(256);

// Bytes of sound in a line, so that it stays within the limit as text.
constexpr size_t kSpeechPcmMax = 128 << 10;
constexpr uint32_t kSoundRateMin = 4'000, kSoundRateMax = 96'000;

struct SpeechReady {
  Millis window{0};
  uint32_t rate = 0;
};
struct SpeechProgress {
  std::optional<Segment> segment;
  double fraction = 0;
  std::optional<SpeakerTurn> turn = {};
  std::string pcm = {};  // whole samples
};
struct SpeechDone {
  Millis audio{0};
};
using SpeechAnswer = std::variant<SpeechReady, SpeechProgress, SpeechDone, Error>;

struct SpeechCall {
  bool cancel = false;
  std::string wav = {};  // when not cancel: to be transcribed, or with `speakers` to be diarized
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
