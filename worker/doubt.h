// Whether a model wrote down what was said, or what it writes whatever it hears.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace gantry {

// What is known of one segment.
struct Evidence {
  double avg_logprob = 0;  // of its tokens
  double no_speech = 0;    // the model's own probability of that
  uint64_t letters = 0;    // that are spoken: no blanks, no punctuation
  Millis voice{0};         // how long somebody spoke, or something sounded
  uint32_t tokens = 0;
  // What the sound's order adds to a token's log probability: the same tokens' with the sound
  // played backwards, or with its halves changed over, taken away; the larger of the two. Such
  // sound is as loud, as long and by the same speaker, and says something else; a text that it
  // would give as well is no transcript. Absent: not asked.
  std::optional<double> gain = {};
};

// whisper's own limits, as its authors chose them.
constexpr double kLogprobMin = -1.0, kNoSpeechMax = 0.6;
// Letters a second: 300 words a minute, five letters each.
constexpr double kLettersMax = 25;
// Chosen between the shipped model's smallest gain on 84 sentences of what it was made for, 1.42,
// and 0.34 on speech that it cannot know (docs/speech.md).
constexpr double kGainMin = 1.0;
// Fewer tokens prove nothing: the model has only so many short sentences.
constexpr uint32_t kGainTokens = 4;

bool is_doubtful(const Evidence& evidence);
// Whether the gain decides; it costs another run of the encoder.
bool asks_gain(const Evidence& evidence);

}  // namespace gantry
