// One recognition at a time with libwhisper: pieces of sound to segments, over a model that several
// lanes share.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "worker/doubt.h"
#include "worker/encoder_turns.h"
#include "worker/segment.h"
#include "worker/silence.h"
#include "worker/whisper_context.h"

struct whisper_full_params;

namespace gantry {

struct LaneOptions {
  std::string language = "auto";
  int threads = 1;
  bool paragraphs = false;    // the window takes several utterances, and the model times them
  bool names_encoder = false;  // whether segments say who encoded them
};

// One thread at a time. The context and the turns outlive it.
class WhisperLane final : public EncoderHook {
 public:
  [[nodiscard]] static Result<std::unique_ptr<WhisperLane>> make(whisper_context* context,
                                                                 EncoderTurns* encoders);

  // Same sound, same options, same device: same segments, whatever other lanes do. The whole piece
  // again on the next device for as long as an encoder fails. kCancelled soon after `stop` is true.
  [[nodiscard]] Result<std::vector<Segment>> recognise(const Piece& piece,
                                                       std::span<const int16_t> pcm,
                                                       const LaneOptions& options,
                                                       const std::function<bool()>& stop);
  std::string language() const;  // that the last piece was taken for

  void encode(std::span<const float> mel, uint32_t mels, uint32_t frames, std::span<float> states,
              uint32_t width) override;

 private:
  WhisperLane(whisper_context* context, EncoderTurns* encoders, WhisperState state)
      : context_(context), encoders_(encoders), state_(std::move(state)) {}

  whisper_full_params params(const LaneOptions& options) const;
  std::vector<Segment> read(const Piece& piece, const LaneOptions& options);
  Segment segment_at(int i, const Piece& piece, const LaneOptions& options) const;
  void weigh(const Piece& piece, const LaneOptions& options, std::vector<Segment>* segments);
  std::optional<double> gain(const Piece& piece, double heard, uint32_t tokens,
                             const LaneOptions& options);
  std::optional<double> log_probability_of(std::span<const float> sound, double enough,
                                           const LaneOptions& options);
  bool given_up() const { return lost_ || (*stop_)(); }

  whisper_context* const context_;
  EncoderTurns* const encoders_;
  const WhisperState state_;
  EncoderTurns::Turn turn_;
  const std::function<bool()>* stop_ = nullptr;
  std::atomic<bool> lost_{false};  // the encoder failed: the decoder is to stop
  std::vector<float> samples_;
};

}  // namespace gantry
