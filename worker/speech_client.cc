// Sends a recording, collects segments, and trusts no line it reads.
#include "worker/speech_client.h"

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
    if (std::holds_alternative<SpeechReady>(*answer)) return {};
    if (const auto* error = std::get_if<Error>(&*answer)) return fail(*error);
    return broken("answered before it was ready");
  }

  Result<std::vector<Segment>> transcribe(
      const std::string& wav, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) override {
    if (Result<void> sent = send(SpeechCall{.cancel = false, .wav = wav}); !sent) {
      return fail(sent.error());
    }
    std::vector<Segment> segments;
    for (;;) {
      const Result<SpeechAnswer> answer = next(limits_.silent, &cancel);
      if (!answer && answer.error().code == Code::kCancelled) return call_off();
      if (!answer) return fail(answer.error());
      if (const auto* error = std::get_if<Error>(&*answer)) return fail(*error);
      if (std::holds_alternative<SpeechDone>(*answer)) return segments;
      const auto* progress = std::get_if<SpeechProgress>(&*answer);
      if (progress == nullptr) return broken("said ready twice");
      if (!progress->segment || progress->segment->text.empty()) continue;
      if (segments.size() >= limits_.segments) return broken("sent too many segments");
      segments.push_back(*progress->segment);
      if (on_segment) on_segment(segments.back(), Progress{progress->fraction});
    }
  }

 private:
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
    if (send(SpeechCall{.cancel = true, .wav = {}})) {
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
  const http::Address nowhere_;
};

}  // namespace

std::vector<std::string> speech_argv(const WorkerContext& context, const WorkerSpec& spec) {
  std::vector<std::string> argv{context.worker_exe, "--engines", context.engine_dir, "speech",
                                "--model", spec.file, "--threads",
                                std::to_string(compute_threads(context.cpu)), "--language",
                                spec.language};
  if (spec.placement.layers.resident > 0) {
    argv.insert(argv.end(), {"--device", spec.devices.empty() ? "auto" : spec.devices.front()});
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
