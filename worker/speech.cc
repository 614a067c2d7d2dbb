// Cuts a recording into pieces that fit the model's window and has libwhisper write them down,
// several at once.
#include "worker/speech.h"

#include <whisper.h>

#include <algorithm>
#include <vector>

#include "worker/encoder_turns.h"
#include "worker/in_order.h"
#include "worker/levels.h"
#include "worker/whisper_lane.h"

namespace gantry {

namespace {

constexpr Millis kEncoderFrame{20};  // whisper's encoder: 50 states a second
// A window of at least this much is what whisper was trained with: whole paragraphs.
constexpr Millis kLongWindow{10'000};

using Segments = std::vector<Segment>;

class WhisperRecogniser final : public Recogniser {
 public:
  WhisperRecogniser(WhisperContext context, const SpeechOptions& options)
      : context_(std::move(context)), options_(options), encoders_(options.encoder, clock_) {
    const Millis whole = kEncoderFrame * whisper_n_audio_ctx(context_.get());
    // A twentieth less than the encoder takes: sound at the very end has no context there.
    window_ = whole - whole / 20;
    if (options.window > Millis(0)) window_ = std::min(window_, options.window);
    if (whisper_is_multilingual(context_.get()) == 0) options_.language = "en";
  }

  Result<void> make_lanes() {
    for (int i = 0; i < std::max(options_.parallel, 1); ++i) {
      Result<std::unique_ptr<WhisperLane>> lane = WhisperLane::make(context_.get(), &encoders_);
      if (!lane) return fail(lane.error());
      lanes_.push_back(std::move(*lane));
    }
    return {};
  }

  Millis window() const override { return window_; }
  std::string encoder() const override { return encoders_.turn().device; }

  Result<SpeechDone> transcribe(
      const Hearing& hearing, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& on_progress) override {
    Result<WavFile> wav = WavFile::open(hearing.wav);
    if (!wav) return fail(wav.error());
    const Result<std::vector<uint8_t>> levels = wav_levels(&*wav, cancel);
    if (!levels) return fail(levels.error());
    encoders_.begin();
    const Millis join = window_ >= kLongWindow ? window_ : Millis(0);
    const CutOptions cut = cut_options(hearing, window_, join);
    Recording recording{hearing.wav, cut_speech(*levels, cut), 0, levels->size(), cancel};
    recording.first = skip_heard(&recording.pieces, hearing.from);
    if (Result<void> heard = hear(recording, on_progress); !heard) return fail(heard.error());
    return SpeechDone{wav->info().duration(), encoders_.changes()};
  }

 private:
  struct Recording {
    std::string path;
    std::vector<Piece> pieces;
    size_t first = 0;  // of those that are to be heard
    size_t frames = 0;
    const std::atomic<bool>& cancel;
  };

  // The language is heard once, in the first piece, and kept for the recording.
  Result<void> hear(const Recording& recording,
                    const std::function<void(const SpeechProgress&)>& on_progress) {
    const size_t pieces = recording.pieces.size();
    const size_t lanes = std::min(lanes_.size(), std::max<size_t>(pieces, 1));
    LaneOptions how{options_.language, std::max(1, options_.threads / static_cast<int>(lanes)),
                    window_ >= kLongWindow, options_.encoder.first != "none"};
    const auto tell = [&](size_t i, const Segments& segments) {
      const double fraction = static_cast<double>(recording.pieces[i].end) /
                              static_cast<double>(recording.frames);
      SpeechProgress progress{.fraction = fraction, .heard = frame_time(recording.pieces[i].begin)};
      if (segments.empty()) on_progress(progress);
      for (const Segment& segment : segments) {
        progress.segment = segment;
        on_progress(progress);
      }
    };
    size_t first = recording.first;
    if (how.language == "auto" && first < pieces) {
      const Result<Segments> heard = recognise(0, recording, 0, how, {});
      if (!heard) return fail(heard.error());
      how.language = lanes_[0]->language();
      if (first == 0) tell(first++, *heard);
    }
    return InOrder<Segments>::run(
        lanes, pieces - first,
        [&](size_t lane, size_t i, const std::atomic<bool>& stop) {
          return recognise(lane, recording, first + i, how, [&stop] { return stop.load(); });
        },
        [&](size_t i, const Segments& segments) { tell(first + i, segments); });
  }

  // On the thread of the lane.
  Result<Segments> recognise(size_t lane, const Recording& recording, size_t i,
                             const LaneOptions& how, const std::function<bool()>& stop) {
    const Piece& piece = recording.pieces[i];
    Result<WavFile> wav = WavFile::open(recording.path);
    if (!wav) return fail(wav.error());
    const Result<std::vector<int16_t>> pcm = piece_samples(&*wav, piece);
    if (!pcm) return fail(pcm.error());
    return lanes_[lane]->recognise(piece, *pcm, how, [&] {
      return recording.cancel || (stop && stop());
    });
  }

  const RealClock clock_;
  WhisperContext context_;
  SpeechOptions options_;
  EncoderTurns encoders_;
  std::vector<std::unique_ptr<WhisperLane>> lanes_;
  Millis window_{0};
};

}  // namespace

Result<std::unique_ptr<Recogniser>> load_recogniser(const SpeechOptions& options) {
  if (options.language != "auto" && whisper_lang_id(options.language.c_str()) < 0) {
    return fail(Code::kUsage, "no such language: " + options.language, "use auto, en, de, ...");
  }
  Result<WhisperContext> context =
      open_whisper(options.model, options.engine_dir, options.device, OwnState::kNo);
  if (!context) return fail(context.error());
  auto recogniser = std::make_unique<WhisperRecogniser>(std::move(*context), options);
  if (Result<void> made = recogniser->make_lanes(); !made) return fail(made.error());
  return recogniser;
}

}  // namespace gantry
