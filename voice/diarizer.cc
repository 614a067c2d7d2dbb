// sherpa-onnx's offline diarization, through its C API.
#include "voice/diarizer.h"

#include <sherpa-onnx/c-api/c-api.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "worker/wav.h"

namespace gantry {

namespace {

constexpr uint64_t kReadSamples = 16 * kSampleRate;

struct EngineFree {
  void operator()(const SherpaOnnxOfflineSpeakerDiarization* engine) const {
    SherpaOnnxDestroyOfflineSpeakerDiarization(engine);
  }
};
using Engine = std::unique_ptr<const SherpaOnnxOfflineSpeakerDiarization, EngineFree>;

struct ResultFree {
  void operator()(const SherpaOnnxOfflineSpeakerDiarizationResult* result) const {
    SherpaOnnxOfflineSpeakerDiarizationDestroyResult(result);
  }
};
struct SegmentsFree {
  void operator()(const SherpaOnnxOfflineSpeakerDiarizationSegment* segments) const {
    SherpaOnnxOfflineSpeakerDiarizationDestroySegment(segments);
  }
};

SherpaOnnxOfflineSpeakerDiarizationConfig config_of(const VoiceOptions& o,
                                                    const SpeakerWish& wish, float shift) {
  SherpaOnnxOfflineSpeakerDiarizationConfig config{};
  config.segmentation.pyannote.model = o.text("model");
  config.segmentation.pyannote.window_shift_ratio = shift;
  config.segmentation.num_threads = o.threads;
  config.segmentation.provider = "cpu";
  config.embedding.model = o.text("embedding");
  config.embedding.num_threads = o.threads;
  config.embedding.provider = "cpu";
  config.clustering.num_clusters = wish.speakers > 0 ? static_cast<int32_t>(wish.speakers) : -1;
  config.clustering.threshold = static_cast<float>(wish.threshold.value_or(kClusterThreshold));
  config.min_duration_on = o.number("min_duration_on", 0.3F);
  config.min_duration_off = o.number("min_duration_off", 0.5F);
  return config;
}

Result<std::vector<float>> samples_of(const std::string& path) {
  Result<WavFile> wav = WavFile::open(path);
  if (!wav) return fail(wav.error());
  if (wav->info().duration() > kDiarizeMax) {
    return fail(Code::kTooLarge, "speakers are told apart in two hours at most",
                "cut the recording into parts");
  }
  std::vector<float> samples;
  samples.reserve(wav->info().samples);
  for (uint64_t at = 0; at < wav->info().samples; at += kReadSamples) {
    const Result<std::vector<int16_t>> part = wav->read(at, kReadSamples);
    if (!part) return fail(part.error());
    for (const int16_t s : *part) samples.push_back(static_cast<float>(s) / 32768.0F);
  }
  return samples;
}

Millis millis(float seconds) {
  return Millis(std::max<int64_t>(0, std::llround(static_cast<double>(seconds) * 1000)));
}

int32_t tell(int32_t done, int32_t total, void* arg) {
  const auto& on_progress = *static_cast<const std::function<void(double)>*>(arg);
  if (total > 0) on_progress(std::clamp(static_cast<double>(done) / total, 0.0, 1.0));
  return 0;
}

class SherpaDiarizer final : public Diarizer {
 public:
  explicit SherpaDiarizer(const VoiceOptions& options) : options_(options) {}

  Result<void> load(Millis duration) {
    const float shift = options_.number("window_shift_ratio", window_shift(duration));
    if (engine_ && shift == shift_) return {};
    if (!(shift > 0 && shift <= 1)) {
      return fail(Code::kUsage, "window_shift_ratio is no part of a window",
                  "give more than 0, and 1 at most; or leave it out");
    }
    engine_.reset();  // never two of them
    const auto config = config_of(options_, options_.speakers, shift);
    engine_.reset(SherpaOnnxCreateOfflineSpeakerDiarization(&config));
    shift_ = shift;
    const int32_t rate =
        engine_ ? SherpaOnnxOfflineSpeakerDiarizationGetSampleRate(engine_.get()) : 0;
    if (rate == static_cast<int32_t>(kSampleRate)) return {};
    engine_.reset();
    return fail(Code::kCorrupt, "the files do not tell speakers apart at 16 kHz",
                "check `file` (segmentation) and `embedding` of the model");
  }

  Result<std::vector<SpeakerTurn>> diarize(
      const std::string& path, const SpeakerWish& asked,
      const std::function<void(double)>& on_progress) override {
    const Result<std::vector<float>> samples = samples_of(path);
    if (!samples) return fail(samples.error());
    const Millis duration(static_cast<int64_t>(samples->size() * 1'000 / kSampleRate));
    if (Result<void> loaded = load(duration); !loaded) return fail(loaded.error());
    SpeakerWish wish = asked;
    // What a request says stands before what the model's configuration says.
    if (wish.speakers == 0 && !wish.threshold) wish = options_.speakers;
    const auto config = config_of(options_, wish, shift_);
    SherpaOnnxOfflineSpeakerDiarizationSetConfig(engine_.get(), &config);
    const std::unique_ptr<const SherpaOnnxOfflineSpeakerDiarizationResult, ResultFree> result(
        SherpaOnnxOfflineSpeakerDiarizationProcessWithCallback(
            engine_.get(), samples->data(), static_cast<int32_t>(samples->size()), &tell,
            const_cast<std::function<void(double)>*>(&on_progress)));
    std::vector<SpeakerTurn> turns;
    if (!result) return turns;  // nobody speaks
    const int32_t count =
        SherpaOnnxOfflineSpeakerDiarizationResultGetNumSegments(result.get());
    const std::unique_ptr<const SherpaOnnxOfflineSpeakerDiarizationSegment, SegmentsFree> segments(
        SherpaOnnxOfflineSpeakerDiarizationResultSortByStartTime(result.get()));
    for (int32_t i = 0; segments && i < count; ++i) {
      const auto& s = segments.get()[i];
      if (s.speaker < 0) continue;
      turns.push_back({millis(s.start), std::max(millis(s.start), millis(s.end)),
                       static_cast<uint32_t>(s.speaker)});
    }
    renumber(&turns);
    return turns;
  }

 private:
  const VoiceOptions options_;
  Engine engine_;
  float shift_ = 0;  // of the engine
};

}  // namespace

float window_shift(Millis duration) {
  constexpr Millis kStep{30LL * 60 * 1000};
  const int64_t steps = std::clamp<int64_t>((duration + kStep - Millis(1)) / kStep, 1, 10);
  return 0.1F * static_cast<float>(steps);
}

void renumber(std::vector<SpeakerTurn>* turns) {
  std::ranges::sort(*turns, {}, [](const SpeakerTurn& t) {
    return std::tuple(t.start, t.end, t.speaker);
  });
  std::map<uint32_t, uint32_t> number;
  for (SpeakerTurn& turn : *turns) {
    turn.speaker = number.emplace(turn.speaker, static_cast<uint32_t>(number.size())).first->second;
  }
}

Result<std::unique_ptr<Diarizer>> load_diarizer(const VoiceOptions& options) {
  if (Result<void> sound = check_options(options); !sound) return fail(sound.error());
  auto diarizer = std::make_unique<SherpaDiarizer>(options);
  if (Result<void> loaded = diarizer->load(Millis(0)); !loaded) return fail(loaded.error());
  return diarizer;
}

}  // namespace gantry
