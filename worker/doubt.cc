// Rules over what a model says of itself.
#include "worker/doubt.h"

namespace gantry {

bool is_doubtful(const Evidence& e) {
  if (e.avg_logprob < kLogprobMin || e.no_speech > kNoSpeechMax) return true;
  const double seconds = static_cast<double>(e.voice.count()) / 1000;
  if (static_cast<double>(e.letters) > kLettersMax * seconds) return true;
  return e.gain && e.tokens >= kGainTokens && *e.gain < kGainMin;
}

bool asks_gain(const Evidence& e) { return e.tokens >= kGainTokens && !is_doubtful(e); }

}  // namespace gantry
