// Cuts a recording into pieces that fit the model's window and has libwhisper write them down.
#include "worker/speech.h"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <whisper.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/os.h"
#include "model/card.h"
#include "worker/ggml_backends.h"
#include "worker/silence.h"
#include "worker/wav.h"

namespace gantry {

namespace {

constexpr Millis kEncoderFrame{20};  // whisper's encoder: 50 states a second
// A window of at least this much is what whisper was trained with: whole paragraphs.
constexpr Millis kLongWindow{10'000};
constexpr uint32_t kReadSamples = kSampleRate;  // a second at a time

struct ContextFree {
  void operator()(whisper_context* context) const { whisper_free(context); }
};
using Context = std::unique_ptr<whisper_context, ContextFree>;

Result<std::vector<uint8_t>> levels_of(WavFile* wav, const std::atomic<bool>& cancel) {
  std::vector<uint8_t> levels;
  const uint64_t samples = wav->info().samples;
  levels.reserve(samples / kFrameSamples + 1);
  for (uint64_t at = 0; at < samples; at += kReadSamples) {
    if (cancel) return fail(Code::kCancelled, "cancelled");
    const Result<std::vector<int16_t>> second = wav->read(at, kReadSamples);
    if (!second) return fail(second.error());
    const std::span<const int16_t> all(*second);
    for (size_t i = 0; i < all.size(); i += kFrameSamples) {
      levels.push_back(frame_level(all.subspan(i, std::min<size_t>(kFrameSamples,
                                                                   all.size() - i))));
    }
  }
  return levels;
}

class WhisperRecogniser final : public Recogniser {
 public:
  WhisperRecogniser(Context context, const SpeechOptions& options)
      : context_(std::move(context)), options_(options) {
    const Millis whole = kEncoderFrame * whisper_n_audio_ctx(context_.get());
    // A twentieth less than the encoder takes: sound at the very end has no context there.
    window_ = whole - whole / 20;
    if (options.window > Millis(0)) window_ = std::min(window_, options.window);
    if (whisper_is_multilingual(context_.get()) == 0) options_.language = "en";
  }

  Millis window() const override { return window_; }

  Result<SpeechDone> transcribe(
      const std::string& path, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& on_progress) override {
    Result<WavFile> wav = WavFile::open(path);
    if (!wav) return fail(wav.error());
    const Result<std::vector<uint8_t>> levels = levels_of(&*wav, cancel);
    if (!levels) return fail(levels.error());
    language_ = options_.language;
    const CutOptions cut{.window = window_, .join = window_ >= kLongWindow};
    for (const Piece& piece : cut_speech(*levels, cut)) {
      const Result<std::vector<Segment>> segments = recognise(&*wav, piece, cancel);
      if (!segments) return fail(segments.error());
      const double fraction = static_cast<double>(piece.end) / static_cast<double>(levels->size());
      if (segments->empty()) on_progress({std::nullopt, fraction});
      for (const Segment& segment : *segments) on_progress({segment, fraction});
    }
    return SpeechDone{wav->info().duration()};
  }

 private:
  whisper_full_params params(const std::atomic<bool>& cancel) const {
    // Greedy at temperature zero without fallback: the same recording gives the same text.
    whisper_full_params p = whisper_full_default_params(WHISPER_SAMPLING_GREEDY);
    p.greedy.best_of = 1;  // more would reserve a vocabulary of floats for each
    p.temperature_inc = 0;
    p.n_threads = options_.threads;
    p.language = language_.c_str();
    p.print_progress = false;
    p.print_timestamps = false;
    p.no_context = true;   // a mistake in one piece does not spread
    p.suppress_nst = true;  // no "(music)"
    p.single_segment = window_ < kLongWindow;
    p.abort_callback = [](void* flag) {
      return static_cast<const std::atomic<bool>*>(flag)->load();
    };
    p.abort_callback_user_data = const_cast<std::atomic<bool>*>(&cancel);
    return p;
  }

  Result<std::vector<Segment>> recognise(WavFile* wav, const Piece& piece,
                                         const std::atomic<bool>& cancel) {
    const uint64_t first = static_cast<uint64_t>(piece.begin) * kFrameSamples;
    const uint64_t count = static_cast<uint64_t>(piece.end - piece.begin) * kFrameSamples;
    const Result<std::vector<int16_t>> pcm = wav->read(first, count);
    if (!pcm) return fail(pcm.error());
    std::vector<float> samples(pcm->size());
    std::ranges::transform(*pcm, samples.begin(),
                           [](int16_t s) { return static_cast<float>(s) / 32768.0F; });
    const int status = whisper_full(context_.get(), params(cancel), samples.data(),
                                    static_cast<int>(samples.size()));
    if (cancel) return fail(Code::kCancelled, "cancelled");
    if (status != 0) {
      return fail(Code::kWorkerFailed,
                  fmt::format("the speech engine failed with {} at {} ms", status,
                              frame_time(piece.begin).count()));
    }
    if (language_ == "auto") {  // heard once, kept for the recording
      language_ = whisper_lang_str(whisper_full_lang_id(context_.get()));
    }
    std::vector<Segment> segments;
    for (int i = 0; i < whisper_full_n_segments(context_.get()); ++i) {
      Segment segment = segment_at(i, piece);
      if (!segment.text.empty()) segments.push_back(std::move(segment));
    }
    return segments;
  }

  Segment segment_at(int i, const Piece& piece) const {
    whisper_context* c = context_.get();
    Segment segment;
    segment.text = whisper_full_get_segment_text(c, i);
    segment.text.erase(0, segment.text.find_first_not_of(" \t\r\n"));
    segment.text.erase(segment.text.find_last_not_of(" \t\r\n") + 1);
    // An utterance of its own is timed by its loudness, which is exact to a frame; paragraphs by
    // the model, whose times are held within the piece.
    const Millis voice = frame_time(piece.voice), hush = frame_time(piece.hush);
    segment.start = voice;
    segment.end = hush;
    if (window_ >= kLongWindow) {
      const Millis begin = frame_time(piece.begin);
      const Millis t0(10 * whisper_full_get_segment_t0(c, i));
      const Millis t1(10 * whisper_full_get_segment_t1(c, i));
      segment.start = std::clamp(begin + t0, voice, hush);
      segment.end = std::clamp(begin + t1, segment.start, hush);
    }
    double sum = 0;
    int words = 0;
    for (int t = 0; t < whisper_full_n_tokens(c, i); ++t) {
      if (whisper_full_get_token_id(c, i, t) >= whisper_token_eot(c)) continue;
      sum += static_cast<double>(whisper_full_get_token_p(c, i, t));
      ++words;
    }
    segment.confidence = words == 0 ? 0 : std::clamp(sum / words, 0.0, 1.0);
    return segment;
  }

  Context context_;
  SpeechOptions options_;
  Millis window_{0};
  std::string language_;  // of the recording
};

Result<void> check_model(const std::string& path) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> file = os->map_file(path);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  if (card->format != ModelFormat::kWhisper) {
    return fail(Code::kUnsupported, base_name(path) + " is not a whisper model",
                "use a ggml file of whisper.cpp for speech");
  }
  return {};
}

// As libwhisper counts accelerators. It would take the CPU where there are fewer.
Result<int> device_number(const std::string& name) {
  int number = 0;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(device);
    if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) continue;
    if (name == "auto" || name == ggml_backend_dev_name(device)) return number;
    ++number;
  }
  return fail(Code::kUnavailable, "ggml has no accelerator named " + name,
              "see gantry-worker probe");
}

}  // namespace

Result<std::unique_ptr<Recogniser>> load_recogniser(const SpeechOptions& options) {
  if (Result<void> ok = check_model(options.model); !ok) return fail(ok.error());
  if (options.language != "auto" && whisper_lang_id(options.language.c_str()) < 0) {
    return fail(Code::kUsage, "no such language: " + options.language, "use auto, en, de, ...");
  }
  log_engines_to_stderr();
  if (!options.device.empty()) {
    load_all_backends(options.engine_dir);
  } else {
    load_cpu_backend(options.engine_dir);
  }
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
    return fail(Code::kUnavailable, "no ggml backend in " + options.engine_dir,
                "run ./run --setup");
  }
  whisper_context_params params = whisper_context_default_params();
  if (!options.device.empty()) {
    const Result<int> number = device_number(options.device);
    if (!number) return fail(number.error());
    params.use_gpu = true;
    params.gpu_device = *number;
  } else {
    params.use_gpu = false;
  }
  Context context(whisper_init_from_file_with_params(options.model.c_str(), params));
  if (context == nullptr) {
    return fail(Code::kCorrupt, "the speech engine cannot load " + base_name(options.model),
                "check the file, for example with gantry inspect");
  }
  return std::make_unique<WhisperRecogniser>(std::move(context), options);
}

}  // namespace gantry
