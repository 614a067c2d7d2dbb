// A piece of recognised speech, what is to be heard, a stretch of one speaker's, and what became of
// an encoder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace gantry {

struct Word {
  Millis start{0};  // from the start of the recording
  Millis end{0};
  std::string text;        // whole characters, without blanks around it
  double probability = 0;  // mean of its tokens', 0..1
  bool operator==(const Word&) const = default;
};

struct Segment {
  Millis start{0};  // from the start of the recording
  Millis end{0};
  std::string text;
  double confidence = 1.0;  // mean token probability, 0..1
  std::optional<uint32_t> speaker = {};  // from 0, where speakers were told apart
  std::string encoder = {};  // "NPU", "GPU.0", "CPU" by OpenVINO, or "ggml"; empty: was not asked
  std::vector<Word> words = {};  // in order; their times lie within the segment's
  std::optional<double> avg_logprob = {};  // of its tokens; absent: the engine does not say
  std::optional<double> no_speech = {};    // the model's probability that nobody spoke
  bool low_confidence = false;  // not what was said, as far as worker/doubt.h can tell
};

// Where somebody speaks, as a detector says.
struct SpeechSpan {
  Millis start{0};  // from the start of the recording
  Millis end{0};
  bool operator==(const SpeechSpan&) const = default;
};
// More than ten hours hold, each with its pause.
constexpr size_t kStretchesMax = 1U << 17;

// What is to be written down of a recording: all of it, or what comes after a part that was heard
// before. Cut as a whole in either case, so that the rest is the same words.
struct Hearing {
  std::string wav;  // a file
  Millis from{0};   // what Progress::heard said; pieces that end before it are left out
  std::optional<std::vector<SpeechSpan>> speech = {};  // in order; absent: found by loudness
};

// A device left off encoding: pieces from `at` on were encoded by another one.
struct EncoderChange {
  std::string from, to, cause;
  Millis at{0};  // in the recording
};

struct SpeakerTurn {
  Millis start{0};  // from the start of the recording
  Millis end{0};
  uint32_t speaker = 0;  // from 0, in the order in which they are first heard
  bool operator==(const SpeakerTurn&) const = default;
};

// How many speakers are told apart: a known number, or as many as a distance gives.
struct SpeakerWish {
  uint32_t speakers = 0;             // 0: by the threshold
  std::optional<double> threshold = {};  // of the clustering, 0..2; absent: the model's
};
constexpr uint32_t kSpeakersMax = 64;
constexpr double kSpeakerThresholdMax = 2;  // cosine distances end there

// One stretch of text to be spoken in one voice.
struct Utterance {
  std::string text;    // clean UTF-8, at most kUtteranceMax bytes
  std::string voice;   // a name of the model's; empty: its first
  double speed = 1;    // 0.25 to 4
};
constexpr uint32_t kUtteranceMax = 4'096;
constexpr double kSpeedMin = 0.25, kSpeedMax = 4;

}  // namespace gantry
