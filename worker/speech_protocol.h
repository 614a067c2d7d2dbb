// What a speech worker and its client say to each other: one JSON object a line.
//   client: {"op":"transcribe","wav":PATH}   {"op":"cancel"}; closing its side ends the worker
//   worker: {"ready":true,"window_ms":N}     once, when the model is loaded
//           {"segment":{"start_ms","end_ms","text","confidence"},"progress":0..1}
//           {"progress":0..1}                a piece without words
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

struct SpeechReady {
  Millis window{0};
};
struct SpeechProgress {
  std::optional<Segment> segment;
  double fraction = 0;
};
struct SpeechDone {
  Millis audio{0};
};
using SpeechAnswer = std::variant<SpeechReady, SpeechProgress, SpeechDone, Error>;

struct SpeechCall {
  bool cancel = false;
  std::string wav;  // when not cancel
};

std::string speech_line(const SpeechAnswer& answer);  // without the line break
std::string speech_line(const SpeechCall& call);

// Pure. kCorrupt for everything that is not one of the above: wrong types, times that run
// backwards, fractions outside 0..1. Unknown keys are ignored.
[[nodiscard]] Result<SpeechAnswer> parse_speech_answer(std::string_view line);
[[nodiscard]] Result<SpeechCall> parse_speech_call(std::string_view line);

}  // namespace gantry
