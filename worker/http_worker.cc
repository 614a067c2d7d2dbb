// Readiness by asking, with an eye on the process.
#include "worker/http_worker.h"

#include "base/limits.h"
#include "worker/stream_counters.h"

namespace gantry {

namespace {

constexpr Millis kFirstPause{10};
constexpr Millis kLongestPause{200};
constexpr Millis kAskTimeout{2'000};

class HttpWorker final : public Worker {
 public:
  HttpWorker(Os& os, std::unique_ptr<Child> child, HttpEndpoint endpoint)
      : os_(os), child_(std::move(child)), endpoint_(std::move(endpoint)) {}

  ~HttpWorker() override { HttpWorker::stop(); }

  int pid() const override { return child_->pid(); }
  const http::Address& address() const override { return endpoint_.address; }
  Result<void> alive() override { return child_->alive(); }

  Result<void> ready(const http::Cancel& cancel) override {
    const RealClock clock;
    const Millis deadline = clock.steady() + kWorkerReadyMax;
    Millis pause = kFirstPause;
    std::string last = "no answer yet";
    while (clock.steady() < deadline) {
      if (cancel) return fail(Code::kCancelled, "cancelled while a model was loading");
      if (Result<void> ok = child_->alive(); !ok) return ok;
      const Result<http::Response> answer = ask(cancel);
      if (answer && (answer->status == 200 || endpoint_.health.empty())) return {};
      last = answer ? "status " + std::to_string(answer->status) : answer.error().message;
      os_.sleep(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
    Error error = child_->failure("was not ready in time (" + last + ")");
    error.code = Code::kTimeout;
    return fail(std::move(error));
  }

  Result<std::vector<Segment>> transcribe(
      const Hearing&, const http::Cancel&,
      const std::function<void(const Segment&, Progress)>&) override {
    return fail(Code::kUnsupported, "this model does not recognise speech",
                "use a speech model, such as micro-asr");
  }

  void stop() override {
    child_->stop();
    for (const std::string& file : {endpoint_.address.unix_path, endpoint_.stats_file}) {
      if (file.empty()) continue;
      const Result<void> gone = os_.remove(file);
      static_cast<void>(gone);  // it may never have been made
    }
  }

  std::optional<StreamCounters> stream_counters() const override {
    if (endpoint_.stats_file.empty()) return std::nullopt;
    return read_stream_counters(os_, endpoint_.stats_file);
  }

 private:
  Result<http::Response> ask(const http::Cancel& cancel) const {
    http::Request request;
    if (!endpoint_.health.empty()) request.target = endpoint_.health;
    http::FetchOptions options;
    options.connect_timeout = kAskTimeout;
    options.idle_timeout = kAskTimeout;
    options.body_max = KiB(64);
    options.cancel = &cancel;
    return http::fetch(endpoint_.address, request, options);
  }

  Os& os_;
  std::unique_ptr<Child> child_;
  const HttpEndpoint endpoint_;
};

}  // namespace

std::unique_ptr<Worker> make_http_worker(Os& os, std::unique_ptr<Child> child,
                                         HttpEndpoint endpoint) {
  return std::make_unique<HttpWorker>(os, std::move(child), std::move(endpoint));
}

}  // namespace gantry
