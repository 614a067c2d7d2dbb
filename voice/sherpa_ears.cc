// Through sherpa-onnx's C API.
#include "voice/sherpa_ears.h"

#include <sherpa-onnx/c-api/c-api.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/voice_keys.h"
#include "worker/wav.h"

namespace gantry {

namespace {

constexpr int32_t kRate = static_cast<int32_t>(kSampleRate);
constexpr int32_t kMelBins = 80;
// After the last sound, so that a streaming model's last frames have their context on the right.
constexpr size_t kTail = kSampleRate * 6 / 10;

struct OfflineFree {
  void operator()(const SherpaOnnxOfflineRecognizer* p) const {
    SherpaOnnxDestroyOfflineRecognizer(p);
  }
};
struct OfflineStreamFree {
  void operator()(const SherpaOnnxOfflineStream* p) const { SherpaOnnxDestroyOfflineStream(p); }
};
struct OfflineResultFree {
  void operator()(const SherpaOnnxOfflineRecognizerResult* p) const {
    SherpaOnnxDestroyOfflineRecognizerResult(p);
  }
};
struct OnlineFree {
  void operator()(const SherpaOnnxOnlineRecognizer* p) const {
    SherpaOnnxDestroyOnlineRecognizer(p);
  }
};
struct OnlineStreamFree {
  void operator()(const SherpaOnnxOnlineStream* p) const { SherpaOnnxDestroyOnlineStream(p); }
};
struct OnlineResultFree {
  void operator()(const SherpaOnnxOnlineRecognizerResult* p) const {
    SherpaOnnxDestroyOnlineRecognizerResult(p);
  }
};
struct DenoiserFree {
  void operator()(const SherpaOnnxOfflineSpeechDenoiser* p) const {
    SherpaOnnxDestroyOfflineSpeechDenoiser(p);
  }
};
struct DenoisedFree {
  void operator()(const SherpaOnnxDenoisedAudio* p) const { SherpaOnnxDestroyDenoisedAudio(p); }
};
struct PunctuationFree {
  void operator()(const SherpaOnnxOfflinePunctuation* p) const {
    SherpaOnnxDestroyOfflinePunctuation(p);
  }
};
struct MarkedFree {
  void operator()(const char* p) const { SherpaOfflinePunctuationFreeText(p); }
};

std::string trimmed(const char* raw) {
  std::string text = raw == nullptr ? "" : raw;
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

Millis millis(float seconds) {
  return Millis(std::max<int64_t>(0, std::llround(static_cast<double>(seconds) * 1000)));
}

int32_t length_of(std::span<const float> samples) { return static_cast<int32_t>(samples.size()); }

double confidence_of(const SherpaOnnxOfflineRecognizerResult& result) {
  if (result.ys_log_probs == nullptr || result.count <= 0) return 1;
  double sum = 0;
  for (int32_t i = 0; i < result.count; ++i) {
    sum += std::exp(static_cast<double>(result.ys_log_probs[i]));
  }
  const double mean = sum / result.count;
  return std::isfinite(mean) ? std::clamp(mean, 0.0, 1.0) : 0;
}

SherpaOnnxOfflineRecognizerConfig offline_config(const VoiceOptions& o) {
  SherpaOnnxOfflineRecognizerConfig config{};
  config.feat_config = {.sample_rate = kRate, .feature_dim = kMelBins};
  SherpaOnnxOfflineModelConfig& m = config.model_config;
  if (o.engine == "paraformer") {
    m.paraformer.model = o.text("model");
  } else if (o.engine == "sense-voice") {
    m.sense_voice = {.model = o.text("model"),
                     .language = o.text("language"),
                     .use_itn = static_cast<int32_t>(o.number("use_itn", 1))};
  } else if (o.engine == "whisper") {
    m.whisper = {.encoder = o.text("encoder"),
                 .decoder = o.text("decoder"),
                 .language = o.text("language"),
                 .task = "transcribe",
                 .tail_paddings = static_cast<int32_t>(o.number("tail_paddings", -1)),
                 .enable_token_timestamps = 0,
                 .enable_segment_timestamps = 1};
  } else if (o.engine == kMoonshineEngine) {
    m.moonshine = {.preprocessor = o.text("preprocessor"),
                   .encoder = o.text("encoder"),
                   .uncached_decoder = o.text("uncached_decoder"),
                   .cached_decoder = o.text("cached_decoder"),
                   .merged_decoder = o.text("merged_decoder")};
  }
  m.tokens = o.text("tokens");
  m.num_threads = o.threads;
  m.provider = "cpu";
  config.decoding_method = "greedy_search";  // the same recording gives the same text
  config.rule_fsts = o.text("rule_fsts");
  config.rule_fars = o.text("rule_fars");
  return config;
}

class OfflineEars final : public Ears {
 public:
  using Handle = std::unique_ptr<const SherpaOnnxOfflineRecognizer, OfflineFree>;
  explicit OfflineEars(Handle engine) : engine_(std::move(engine)) {}

  Result<std::vector<HeardPart>> hear(std::span<const float> samples) override {
    const std::unique_ptr<const SherpaOnnxOfflineStream, OfflineStreamFree> stream(
        SherpaOnnxCreateOfflineStream(engine_.get()));
    if (!stream) return fail(Code::kWorkerFailed, "the speech engine takes no sound");
    SherpaOnnxAcceptWaveformOffline(stream.get(), kRate, samples.data(), length_of(samples));
    SherpaOnnxDecodeOfflineStream(engine_.get(), stream.get());
    const std::unique_ptr<const SherpaOnnxOfflineRecognizerResult, OfflineResultFree> result(
        SherpaOnnxGetOfflineStreamResult(stream.get()));
    if (!result) return fail(Code::kWorkerFailed, "the speech engine gave no answer");
    std::vector<HeardPart> parts;
    const double confidence = confidence_of(*result);
    const bool timed = result->segment_texts_arr != nullptr &&
                       result->segment_timestamps != nullptr &&
                       result->segment_durations != nullptr;
    for (int32_t i = 0; timed && i < result->segment_count; ++i) {
      const Millis start = millis(result->segment_timestamps[i]);
      HeardPart part{trimmed(result->segment_texts_arr[i]), start,
                     start + millis(result->segment_durations[i]), confidence};
      if (!part.text.empty()) parts.push_back(std::move(part));
    }
    if (!parts.empty()) return parts;
    HeardPart whole{.text = trimmed(result->text), .confidence = confidence};
    if (!whole.text.empty()) parts.push_back(std::move(whole));
    return parts;
  }

 private:
  const Handle engine_;
};

class OnlineEars final : public Ears {
 public:
  using Handle = std::unique_ptr<const SherpaOnnxOnlineRecognizer, OnlineFree>;
  explicit OnlineEars(Handle engine) : engine_(std::move(engine)) {}

  Result<std::vector<HeardPart>> hear(std::span<const float> samples) override {
    const std::unique_ptr<const SherpaOnnxOnlineStream, OnlineStreamFree> stream(
        SherpaOnnxCreateOnlineStream(engine_.get()));
    if (!stream) return fail(Code::kWorkerFailed, "the speech engine takes no sound");
    SherpaOnnxOnlineStreamAcceptWaveform(stream.get(), kRate, samples.data(), length_of(samples));
    const std::vector<float> tail(kTail, 0.0F);
    SherpaOnnxOnlineStreamAcceptWaveform(stream.get(), kRate, tail.data(), length_of(tail));
    SherpaOnnxOnlineStreamInputFinished(stream.get());
    while (SherpaOnnxIsOnlineStreamReady(engine_.get(), stream.get()) != 0) {
      SherpaOnnxDecodeOnlineStream(engine_.get(), stream.get());
    }
    const std::unique_ptr<const SherpaOnnxOnlineRecognizerResult, OnlineResultFree> result(
        SherpaOnnxGetOnlineStreamResult(engine_.get(), stream.get()));
    if (!result) return fail(Code::kWorkerFailed, "the speech engine gave no answer");
    std::vector<HeardPart> parts;
    HeardPart whole{.text = trimmed(result->text)};
    if (!whole.text.empty()) parts.push_back(std::move(whole));
    return parts;
  }

 private:
  const Handle engine_;
};

class SherpaDenoiser final : public Denoiser {
 public:
  using Handle = std::unique_ptr<const SherpaOnnxOfflineSpeechDenoiser, DenoiserFree>;
  explicit SherpaDenoiser(Handle engine) : engine_(std::move(engine)) {}

  Result<std::vector<float>> clean(std::span<const float> samples) override {
    const std::unique_ptr<const SherpaOnnxDenoisedAudio, DenoisedFree> audio(
        SherpaOnnxOfflineSpeechDenoiserRun(engine_.get(), samples.data(), length_of(samples),
                                           kRate));
    if (!audio || audio->samples == nullptr || audio->n < 0 || audio->sample_rate != kRate) {
      return fail(Code::kWorkerFailed, "the denoiser gave no sound");
    }
    return std::vector<float>(audio->samples, audio->samples + audio->n);
  }

 private:
  const Handle engine_;
};

class SherpaPunctuation final : public Punctuation {
 public:
  using Handle = std::unique_ptr<const SherpaOnnxOfflinePunctuation, PunctuationFree>;
  explicit SherpaPunctuation(Handle engine) : engine_(std::move(engine)) {}

  std::string mark(const std::string& text) override {
    const std::unique_ptr<const char, MarkedFree> marked(
        SherpaOfflinePunctuationAddPunct(engine_.get(), text.c_str()));
    std::string out = trimmed(marked.get());
    return out.empty() ? text : out;
  }

 private:
  const Handle engine_;
};

Result<std::unique_ptr<Ears>> load_streaming(const VoiceOptions& o) {
  SherpaOnnxOnlineRecognizerConfig config{};
  config.feat_config = {.sample_rate = kRate, .feature_dim = kMelBins};
  config.model_config.paraformer = {.encoder = o.text("encoder"), .decoder = o.text("decoder")};
  config.model_config.tokens = o.text("tokens");
  config.model_config.num_threads = o.threads;
  config.model_config.provider = "cpu";
  config.decoding_method = "greedy_search";
  config.rule_fsts = o.text("rule_fsts");
  config.rule_fars = o.text("rule_fars");
  OnlineEars::Handle engine(SherpaOnnxCreateOnlineRecognizer(&config));
  if (engine) return std::make_unique<OnlineEars>(std::move(engine));
  return fail(Code::kCorrupt, "the files do not recognise speech as " + o.engine + " does",
              "check `engine`, `file` and `options` of the model");
}

}  // namespace

Result<std::unique_ptr<Ears>> load_ears(const VoiceOptions& options) {
  if (options.engine == "streaming-paraformer") return load_streaming(options);
  const SherpaOnnxOfflineRecognizerConfig config = offline_config(options);
  OfflineEars::Handle engine(SherpaOnnxCreateOfflineRecognizer(&config));
  if (engine) return std::make_unique<OfflineEars>(std::move(engine));
  return fail(Code::kCorrupt, "the files do not recognise speech as " + options.engine + " does",
              "check `engine`, `file` and `options` of the model");
}

Result<std::unique_ptr<Denoiser>> load_denoiser(const VoiceOptions& options) {
  SherpaOnnxOfflineSpeechDenoiserConfig config{};
  config.model.gtcrn.model = options.text("denoise");
  config.model.num_threads = options.threads;
  config.model.provider = "cpu";
  SherpaDenoiser::Handle engine(SherpaOnnxCreateOfflineSpeechDenoiser(&config));
  if (engine && SherpaOnnxOfflineSpeechDenoiserGetSampleRate(engine.get()) == kRate) {
    return std::make_unique<SherpaDenoiser>(std::move(engine));
  }
  return fail(Code::kCorrupt, "the file of `denoise` is no GTCRN model for 16 kHz",
              "name gtcrn_simple.onnx, or leave denoise out");
}

Result<std::unique_ptr<Punctuation>> load_punctuation(const VoiceOptions& options) {
  SherpaOnnxOfflinePunctuationConfig config{};
  config.model.ct_transformer = options.text("punctuation");
  config.model.num_threads = options.threads;
  config.model.provider = "cpu";
  SherpaPunctuation::Handle engine(SherpaOnnxCreateOfflinePunctuation(&config));
  if (engine) return std::make_unique<SherpaPunctuation>(std::move(engine));
  return fail(Code::kCorrupt, "the file of `punctuation` is no ct-transformer",
              "name its model.onnx, or leave punctuation out");
}

}  // namespace gantry
