// Cuts a recording at its silences and has sherpa-onnx write the pieces down.
#include "voice/listener.h"

#include <algorithm>
#include <vector>

#include "voice/sherpa_ears.h"
#include "worker/levels.h"

namespace gantry {

namespace {

// A whisper reads a whole window whatever is in it, and tells times itself.
bool joins(const VoiceOptions& options) { return options.engine == "whisper"; }

class SherpaListener final : public Listener {
 public:
  SherpaListener(std::unique_ptr<Ears> ears, std::unique_ptr<Denoiser> denoiser,
                 std::unique_ptr<Punctuation> punctuation, bool join)
      : ears_(std::move(ears)),
        denoiser_(std::move(denoiser)),
        punctuation_(std::move(punctuation)),
        join_(join) {}

  Result<SpeechDone> listen(const Hearing& hearing, const std::atomic<bool>& cancel,
                            const std::function<void(const SpeechProgress&)>& tell) override {
    Result<WavFile> wav = WavFile::open(hearing.wav);
    if (!wav) return fail(wav.error());
    const Result<std::vector<uint8_t>> levels = wav_levels(&*wav, cancel);
    if (!levels) return fail(levels.error());
    std::vector<Piece> pieces = cut_speech(*levels, cut_options(hearing, kListenWindow, join_));
    for (size_t i = skip_heard(&pieces, hearing.from); i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      if (cancel) return fail(Code::kCancelled, "cancelled");
      const Result<std::vector<Segment>> segments = recognise(&*wav, piece);
      if (!segments) return fail(segments.error());
      const double fraction = static_cast<double>(piece.end) / static_cast<double>(levels->size());
      SpeechProgress progress{.fraction = fraction, .heard = frame_time(piece.begin)};
      if (segments->empty()) tell(progress);
      for (const Segment& segment : *segments) {
        progress.segment = segment;
        tell(progress);
      }
    }
    return SpeechDone{wav->info().duration()};
  }

 private:
  Result<std::vector<Segment>> recognise(WavFile* wav, const Piece& piece) {
    const Result<std::vector<int16_t>> pcm = piece_samples(wav, piece);
    if (!pcm) return fail(pcm.error());
    std::vector<float> samples(pcm->size());
    std::ranges::transform(*pcm, samples.begin(),
                           [](int16_t s) { return static_cast<float>(s) / 32768.0F; });
    if (denoiser_) {
      Result<std::vector<float>> clean = denoiser_->clean(samples);
      if (!clean) return fail(clean.error());
      samples = std::move(*clean);
    }
    if (samples.empty()) return std::vector<Segment>{};
    const Result<std::vector<HeardPart>> parts = ears_->hear(samples);
    if (!parts) return fail(parts.error());
    std::vector<Segment> segments;
    for (const HeardPart& part : *parts) segments.push_back(placed(part, piece));
    return segments;
  }

  // Where the engine tells no times, an utterance is timed by its loudness, exact to a frame.
  Segment placed(const HeardPart& part, const Piece& piece) {
    const Millis voice = frame_time(piece.voice), hush = frame_time(piece.hush);
    Segment segment{voice, hush, part.text, part.confidence};
    if (part.end > Millis(0)) {
      segment.start = std::clamp(frame_time(piece.begin) + part.start, voice, hush);
      segment.end = std::clamp(frame_time(piece.begin) + part.end, segment.start, hush);
    }
    if (punctuation_) segment.text = punctuation_->mark(segment.text);
    return segment;
  }

  const std::unique_ptr<Ears> ears_;
  const std::unique_ptr<Denoiser> denoiser_;        // may be null
  const std::unique_ptr<Punctuation> punctuation_;  // may be null
  const bool join_;
};

}  // namespace

Result<std::unique_ptr<Listener>> load_listener(const VoiceOptions& options) {
  if (Result<void> sound = check_options(options); !sound) return fail(sound.error());
  // The small ones first: a wrong file among them costs no load of the model.
  std::unique_ptr<Denoiser> denoiser;
  std::unique_ptr<Punctuation> punctuation;
  if (options.values.contains("denoise")) {
    Result<std::unique_ptr<Denoiser>> loaded = load_denoiser(options);
    if (!loaded) return fail(loaded.error());
    denoiser = std::move(*loaded);
  }
  if (options.values.contains("punctuation")) {
    Result<std::unique_ptr<Punctuation>> loaded = load_punctuation(options);
    if (!loaded) return fail(loaded.error());
    punctuation = std::move(*loaded);
  }
  Result<std::unique_ptr<Ears>> ears = load_ears(options);
  if (!ears) return fail(ears.error());
  return std::make_unique<SherpaListener>(std::move(*ears), std::move(denoiser),
                                          std::move(punctuation), joins(options));
}

}  // namespace gantry
