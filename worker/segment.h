// A piece of recognised speech, and a stretch of one speaker's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace gantry {

struct Segment {
  Millis start{0};  // from the start of the recording
  Millis end{0};
  std::string text;
  double confidence = 1.0;  // mean token probability, 0..1
  std::optional<uint32_t> speaker = {};  // from 0, where speakers were told apart
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
