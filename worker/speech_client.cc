// Sends a recording, collects segments, and trusts no line it reads.
#include "worker/speech_client.h"

#include <atomic>

#include "base/limits.h"
#include "worker/speech_protocol.h"

namespace gantry {

namespace {

constexpr Millis kSlice{100};  // how soon a cancel is noticed

class SpeechClient final : public Worker {
 public:
  SpeechClient(std::unique_ptr<Child> child, SpeechLimits limits)
      : child_(std::move(child)), limits_(limits) {}

  ~SpeechClient() override { SpeechClient::stop(); }

  int pid() const override { return child_->pid(); }
  const http::Address& address() const override { return nowhere_; }
  Result<void> alive() override { return child_->alive(); }
  void stop() override { child_->stop(); }

  Result<void> ready(const http::Cancel& cancel) override {
    const Result<SpeechAnswer> answer = next(limits_.ready, &cancel);
    if (!answer) return fail(answer.error());
    if (const auto* ready = std::get_if<SpeechReady>(&*answer)) {
      rate_ = ready->rate;
      return {};
    }
    if (const auto* error = std::get_if<Error>(&*answer)) return fail(*error);
    return broken("answered before it was ready");
  }

  std::vector<EncoderChange> encoder_changes() const override { return encoder_changes_; }

  Result<std::vector<Segment>> transcribe(
      const Hearing& hearing, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) override {
    std::vector<Segment> segments;
    encoder_changes_.clear();
    const auto take = [&](const SpeechProgress& progress) -> Result<void> {
      if (!progress.segment || progress.segment->text.empty()) return {};
      if (segments.size() >= limits_.segments) return broken("sent too many segments");
      segments.push_back(*progress.segment);
      if (on_segment) on_segment(segments.back(), Progress{progress.fraction, progress.heard});
      return {};
    };
    const SpeechCall call{.wav = hearing.wav, .from = hearing.from, .speech = hearing.speech};
    const Result<void> done = ask(call, cancel, take);
    if (!done) return fail(done.error());
    return segments;
  }

  Result<std::vector<SpeakerTurn>> diarize(
      const std::string& wav, const SpeakerWish& wish, const http::Cancel& cancel,
      const std::function<void(Progress)>& on_progress) override {
    std::vector<SpeakerTurn> turns;
    const auto take = [&](const SpeechProgress& progress) -> Result<void> {
      if (on_progress) on_progress(Progress{progress.fraction});
      if (!progress.turn) return {};
      if (turns.size() >= limits_.segments) return broken("sent too many turns");
      turns.push_back(*progress.turn);
      return {};
    };
    const Result<void> done = ask(SpeechCall{.wav = wav, .speakers = wish}, cancel, take);
    if (!done) return fail(done.error());
    return turns;
  }

  Result<void> speak(const Utterance& utterance, const http::Cancel& cancel,
                     const std::function<bool(std::string_view)>& on_pcm) override {
    uint64_t bytes = 0;
    const auto take = [&](const SpeechProgress& progress) -> Result<void> {
      bytes += progress.pcm.size();
      if (bytes > limits_.sound.n) return broken("does not stop to speak");
      if (progress.pcm.empty() || on_pcm(progress.pcm)) return {};
      return call_off();
    };
    return ask(SpeechCall{.utterance = utterance}, cancel, take);
  }

  uint32_t sound_rate() const override { return rate_; }

 private:
  // One request and all that is said to it.
  Result<void> ask(const SpeechCall& call, const http::Cancel& cancel,
                   const std::function<Result<void>(const SpeechProgress&)>& take) {
    if (Result<void> sent = send(call); !sent) return sent;
    for (;;) {
      const Result<SpeechAnswer> answer = next(limits_.silent, &cancel);
      if (!answer && answer.error().code == Code::kCancelled) return call_off();
      if (!answer) return fail(answer.error());
      if (const auto* error = std::get_if<Error>(&*answer)) return fail(*error);
      if (const auto* done = std::get_if<SpeechDone>(&*answer)) {
        encoder_changes_ = done->encoder_changes;
        return {};
      }
      const auto* progress = std::get_if<SpeechProgress>(&*answer);
      if (progress == nullptr) return broken("said ready twice");
      if (Result<void> taken = take(*progress); !taken) return taken;
    }
  }

  Result<void> send(const SpeechCall& call) {
    if (child_->process().write_line(speech_line(call))) return {};
    return broken("takes no more requests");
  }

  // The next line. kCancelled once `cancel` is set; everything else that is no answer ends the
  // process, because what it does is not known any more.
  Result<SpeechAnswer> next(Millis timeout, const http::Cancel* cancel) {
    const RealClock clock;
    const Millis deadline = clock.steady() + timeout;
    for (;;) {
      if (cancel != nullptr && *cancel) return fail(Code::kCancelled, "cancelled");
      const Result<std::string> line = child_->process().read_line(kSlice, kSpeechLineMax);
      if (line) {
        Result<SpeechAnswer> answer = parse_speech_answer(*line);
        if (answer) return answer;
        return broken("broke the protocol (" + answer.error().message + ")");
      }
      if (line.error().code != Code::kTimeout) return broken("failed");
      if (clock.steady() >= deadline) return broken("gave no sign of life", Code::kTimeout);
    }
  }

  // Asks it to stop; what it still says about the old request is dropped.
  tl::unexpected<Error> call_off() {
    if (send(SpeechCall{.cancel = true})) {
      for (;;) {
        const Result<SpeechAnswer> answer = next(limits_.cancel, nullptr);
        if (!answer || std::holds_alternative<Error>(*answer) ||
            std::holds_alternative<SpeechDone>(*answer)) {
          break;
        }
      }
    }
    return fail(Code::kCancelled, "cancelled");
  }

  tl::unexpected<Error> broken(const std::string& what, Code code = Code::kWorkerFailed) {
    Error error = child_->failure(what);
    error.code = code;
    child_->kill();
    return fail(std::move(error));
  }

  std::unique_ptr<Child> child_;
  const SpeechLimits limits_;
  std::atomic<uint32_t> rate_{0};
  const http::Address nowhere_;
  std::vector<EncoderChange> encoder_changes_;
};

}  // namespace

std::vector<std::string> speech_argv(const WorkerContext& context, const WorkerSpec& spec) {
  std::vector<std::string> argv{context.worker_exe, "--engines", context.engine_dir, "speech",
                                "--model", spec.file, "--threads",
                                std::to_string(compute_threads(context.cpu)), "--language",
                                spec.language};
  if (spec.parallel > 1) argv.insert(argv.end(), {"--parallel", std::to_string(spec.parallel)});
  if (spec.placement.layers.resident > 0) {
    argv.insert(argv.end(), {"--device", spec.devices.empty() ? "auto" : spec.devices.front()});
  }
  if (spec.encoder != "none") argv.insert(argv.end(), {"--encoder", spec.encoder});
  if (spec.encoder != "none" && !context.encoder_dir.empty()) {
    argv.insert(argv.end(), {"--encoder-dir", context.encoder_dir});
  }
  return argv;
}

Result<std::unique_ptr<Worker>> start_speech(Os& os, const WorkerContext& context,
                                             const WorkerSpec& spec) {
  if (spec.file.empty()) return fail(Code::kUsage, "the model " + spec.model + " has no file");
  ProcessSpec process = worker_process(context, spec.model);
  process.gate = spec.gate;
  process.argv = speech_argv(context, spec);
  process.env.insert(process.env.end(), spec.env.begin(), spec.env.end());
  process.pipe_io = true;
  Result<std::unique_ptr<Child>> child =
      Child::start(os, process, "the speech worker for " + spec.model);
  if (!child) return fail(child.error());
  SpeechLimits limits;
  limits.ready = kWorkerReadyMax;
  return make_speech_client(std::move(*child), limits);
}

std::unique_ptr<Worker> make_speech_client(std::unique_ptr<Child> child, SpeechLimits limits) {
  return std::make_unique<SpeechClient>(std::move(child), limits);
}

}  // namespace gantry
