// A lock around the chain, and a number for each device's turn.
#include "worker/encoder_turns.h"

#include <algorithm>

namespace gantry {

void EncoderTurns::begin() {
  const std::lock_guard lock(mutex_);
  chain_.begin();
  ++number_;
}

EncoderTurns::Turn EncoderTurns::turn() const {
  const std::lock_guard lock(mutex_);
  return {number_, chain_.device(), chain_.on_ggml()};
}

bool EncoderTurns::encode(const Turn& turn, std::span<const float> mel, uint32_t mels,
                          uint32_t frames, std::span<float> states, uint32_t width) {
  const std::lock_guard lock(mutex_);
  if (turn.number != number_) {
    std::ranges::fill(states, 0.0F);
    return false;
  }
  chain_.encode(mel, mels, frames, states, width);
  return !chain_.failed();
}

void EncoderTurns::step_down(const Turn& turn, Millis at) {
  const std::lock_guard lock(mutex_);
  if (turn.number != number_) return;
  chain_.step_down(at);
  ++number_;
}

std::vector<EncoderChange> EncoderTurns::changes() const {
  const std::lock_guard lock(mutex_);
  return chain_.changes();
}

}  // namespace gantry
