// Cuts a recording at its silences and has sherpa-onnx write the pieces down.
#include "voice/listener.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "voice/sentences.h"
#include "voice/sherpa_ears.h"
#include "worker/levels.h"

namespace gantry {

namespace {

// A whisper reads a whole window whatever is in it, and tells times itself. Moonshine 2 sets full
// stops, by which its sentences are timed.
Millis join_of(const VoiceOptions& options) {
  if (options.engine == "whisper") return kListenWindow;
  return options.values.contains("merged_decoder") ? kMoonshineJoin : Millis(0);
}

class SherpaListener final : public Listener {
 public:
  SherpaListener(std::unique_ptr<Ears> ears, std::unique_ptr<Denoiser> denoiser,
                 std::unique_ptr<Punctuation> punctuation, Millis join)
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
    const CutOptions cut = cut_options(hearing, kListenWindow, join_);
    std::vector<Piece> pieces = cut_speech(*levels, cut);
    CutOptions apart = cut;
    apart.join = Millis(0);
    voices_ = cut_speech(*levels, apart);
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
    for (const HeardPart& part : *parts) {
      if (part.end == Millis(0) && join_ > Millis(0)) {
        std::ranges::move(place_sentences(marked(part.text), voices_in(piece)),
                          std::back_inserter(segments));
      } else {
        segments.push_back(placed(part, piece));
      }
    }
    return segments;
  }

  std::string marked(const std::string& text) const {
    return punctuation_ ? punctuation_->mark(text) : text;
  }

  // The utterances of a piece, whose beginning may have been cut off.
  std::vector<Piece> voices_in(const Piece& piece) const {
    std::vector<Piece> inside;
    for (Piece voice : voices_) {
      voice.voice = std::max(voice.voice, piece.voice);
      voice.hush = std::min(voice.hush, piece.hush);
      if (voice.voice < voice.hush) inside.push_back(voice);
    }
    if (inside.empty()) inside.push_back(piece);
    return inside;
  }

  // Where the engine tells no times, an utterance is timed by its loudness, exact to a frame.
  Segment placed(const HeardPart& part, const Piece& piece) {
    const Millis voice = frame_time(piece.voice), hush = frame_time(piece.hush);
    Segment segment{voice, hush, marked(part.text), part.confidence};
    if (part.end > Millis(0)) {
      segment.start = std::clamp(frame_time(piece.begin) + part.start, voice, hush);
      segment.end = std::clamp(frame_time(piece.begin) + part.end, segment.start, hush);
    }
    return segment;
  }

  const std::unique_ptr<Ears> ears_;
  const std::unique_ptr<Denoiser> denoiser_;        // may be null
  const std::unique_ptr<Punctuation> punctuation_;  // may be null
  const Millis join_;
  std::vector<Piece> voices_;  // of the recording: its utterances
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
                                          std::move(punctuation), join_of(options));
}

}  // namespace gantry
