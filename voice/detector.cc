// sherpa-onnx's detector, asked window by window: what it collects itself is not used, because it
// keeps all samples of a stretch.
#include "voice/detector.h"

#include <sherpa-onnx/c-api/c-api.h>

#include <algorithm>
#include <array>
#include <vector>

#include "worker/silence.h"
#include "worker/wav.h"

namespace gantry {

namespace {

constexpr uint32_t kWindow = 512;  // samples; what the network takes at once
constexpr uint64_t kReadWindows = 32;
constexpr float kShortest = 0.001F;  // s; pauses and clicks are judged by worker/silence.h
constexpr float kLongest = 3600;     // s; beyond, it would raise the threshold
constexpr float kBuffer = 30;        // s
constexpr uint32_t kFlush = 256;     // windows of one stretch, then its samples are dropped

struct EngineFree {
  void operator()(const SherpaOnnxVoiceActivityDetector* p) const {
    SherpaOnnxDestroyVoiceActivityDetector(p);
  }
};
using Engine = std::unique_ptr<const SherpaOnnxVoiceActivityDetector, EngineFree>;

Result<Engine> make_engine(const std::string& model, double threshold) {
  if (!(threshold > 0 && threshold < 1)) {
    return fail(Code::kUsage, "no such threshold of a detector", "give one between 0 and 1");
  }
  SherpaOnnxVadModelConfig config{};
  config.silero_vad = {.model = model.c_str(),
                       .threshold = static_cast<float>(threshold),
                       .min_silence_duration = kShortest,
                       .min_speech_duration = kShortest,
                       .window_size = kWindow,
                       .max_speech_duration = kLongest};
  config.sample_rate = static_cast<int32_t>(kSampleRate);
  config.num_threads = 1;  // the network is too small for two
  config.provider = "cpu";
  Engine engine(SherpaOnnxCreateVoiceActivityDetector(&config, kBuffer));
  if (engine) return engine;
  return fail(Code::kCorrupt, "the file is no Silero model", "name its silero_vad.onnx");
}

Millis time_of(uint64_t window) {
  return Millis(static_cast<int64_t>(window * kWindow * 1000 / kSampleRate));
}

// Stretches out of one answer a window.
class Stretches {
 public:
  explicit Stretches(const std::function<void(SpeechSpan)>& tell) : tell_(tell) {}

  // It says yes with the second window of speech, and no with the second one without.
  void add(bool speech) {
    ++windows_;
    if (speech == open_) return;
    open_ = speech;
    const Millis at = time_of(windows_ - std::min<uint64_t>(windows_, 2));
    if (!speech) {
      last_->end = at;
    } else if (!last_) {
      last_ = SpeechSpan{at, at};
    } else if (at - last_->end >= kPauseLeast) {
      tell_(*last_);
      last_ = SpeechSpan{at, at};
    }
  }
  void finish(Millis length) {
    if (open_) last_->end = length;
    if (last_) tell_({last_->start, std::min(last_->end, length)});
  }

 private:
  const std::function<void(SpeechSpan)>& tell_;
  uint64_t windows_ = 0;
  bool open_ = false;
  std::optional<SpeechSpan> last_;  // may go on
};

class SileroDetector final : public Detector {
 public:
  explicit SileroDetector(const VoiceOptions& options)
      : model_(options.text("model")),
        threshold_(options.speakers.threshold.value_or(kSpeechThreshold)) {}

  Result<SpeechDone> detect(const std::string& path, std::optional<double> threshold,
                            const std::atomic<bool>& cancel,
                            const std::function<void(const SpeechProgress&)>& tell) override {
    Result<WavFile> wav = WavFile::open(path);
    if (!wav) return fail(wav.error());
    // A fresh one each time: it remembers more than its reset forgets.
    const Result<Engine> engine = make_engine(model_, threshold.value_or(threshold_));
    if (!engine) return fail(engine.error());
    const uint64_t all = std::max<uint64_t>(1, wav->info().samples);
    double done = 0;
    const std::function<void(SpeechSpan)> tell_stretch = [&](SpeechSpan s) {
      tell(SpeechProgress{.fraction = done, .turn = SpeakerTurn{s.start, s.end, 0}});
    };
    Stretches stretches(tell_stretch);
    open_ = 0;
    for (uint64_t at = 0; at < wav->info().samples; at += kReadWindows * kWindow) {
      if (cancel) return fail(Code::kCancelled, "cancelled");
      const Result<std::vector<int16_t>> pcm = wav->read(at, kReadWindows * kWindow);
      if (!pcm) return fail(pcm.error());
      hear(*engine, *pcm, &stretches);
      const double before = done;
      done = std::min(1.0, static_cast<double>(at) / static_cast<double>(all));
      if (static_cast<int>(done * 100) != static_cast<int>(before * 100)) {
        tell(SpeechProgress{.fraction = done});
      }
    }
    done = 1;
    stretches.finish(wav->info().duration());
    return SpeechDone{wav->info().duration()};
  }

 private:
  // The last window is filled up with silence.
  void hear(const Engine& engine, std::span<const int16_t> pcm, Stretches* stretches) {
    for (size_t at = 0; at < pcm.size(); at += kWindow) {
      std::array<float, kWindow> window{};
      const auto part = pcm.subspan(at, std::min<size_t>(kWindow, pcm.size() - at));
      std::ranges::transform(part, window.begin(),
                             [](int16_t s) { return static_cast<float>(s) / 32768.0F; });
      SherpaOnnxVoiceActivityDetectorAcceptWaveform(engine.get(), window.data(), kWindow);
      const bool speech = SherpaOnnxVoiceActivityDetectorDetected(engine.get()) != 0;
      stretches->add(speech);
      open_ = speech ? open_ + 1 : 0;
      // Takes the samples of an open stretch away and leaves the network's own state as it is.
      if (open_ % kFlush == kFlush - 1) SherpaOnnxVoiceActivityDetectorFlush(engine.get());
      SherpaOnnxVoiceActivityDetectorClear(engine.get());
    }
  }

  const std::string model_;
  const double threshold_;
  uint32_t open_ = 0;  // windows of the stretch
};

}  // namespace

Result<std::unique_ptr<Detector>> load_detector(const VoiceOptions& options) {
  if (Result<void> sound = check_options(options); !sound) return fail(sound.error());
  // Loaded once to see that it is one.
  const double threshold = options.speakers.threshold.value_or(kSpeechThreshold);
  const Result<Engine> engine = make_engine(options.text("model"), threshold);
  if (!engine) return fail(engine.error());
  return std::make_unique<SileroDetector>(options);
}

}  // namespace gantry
