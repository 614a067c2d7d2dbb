// One chain of encoders for several recognitions at once.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "worker/encoder_chain.h"

namespace gantry {

// Thread-safe. A device encodes for one piece at a time; a piece is encoded by the device that was
// there when it began, or begun again.
class EncoderTurns {
 public:
  EncoderTurns(EncoderOptions options, const Clock& clock) : chain_(std::move(options), clock) {}

  // The device from now on until somebody gives it up.
  struct Turn {
    uint64_t number = 0;
    std::string device;
    bool on_ggml = true;
  };

  void begin();  // a recording
  Turn turn() const;
  // False: it failed, or was given up meanwhile; there are zeros in `states` then.
  bool encode(const Turn& turn, std::span<const float> mel, uint32_t mels, uint32_t frames,
              std::span<float> states, uint32_t width);
  // After such a failure; the first of several that saw it decides. `at` is in the recording.
  void step_down(const Turn& turn, Millis at);
  std::vector<EncoderChange> changes() const;

 private:
  mutable std::mutex mutex_;
  EncoderChain chain_;
  uint64_t number_ = 0;
};

}  // namespace gantry
