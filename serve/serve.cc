// The table of routes, and every request's way through it: guard, route, gate, answer, count.
#include "serve/serve.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/message.h"
#include "serve/api.h"
#include "serve/routes.h"

namespace gantry {

namespace {

enum Trait : unsigned {
  kLocalOnly = 1,  // over the unix socket only
  kLong = 2,       // may wait for a model or a job: passes the gate
  kLooks = 4,      // only looks: keeps no idle daemon awake
};

struct Route {
  Pattern pattern;
  void (*handle)(Call&);
  unsigned traits;
};

constexpr Route kRoutes[] = {
    {{"GET", "/health"}, health, kLooks},
    {{"GET", "/metrics"}, metrics, kLooks},
    {{"GET", "/running"}, running, kLooks},
    {{"GET", "/v1/history"}, history, kLooks},
    {{"GET", "/v1/models"}, list_models, kLooks},
    {{"GET", "/v1/models/{*}"}, show_model, kLooks},
    {{"POST", "/v1/chat/completions"}, chat_completions, kLong},
    {{"POST", "/v1/completions"}, completions, kLong},
    {{"POST", "/v1/embeddings"}, embeddings, kLong},
    {{"POST", "/v1/audio/transcriptions"}, audio_transcriptions, kLong},
    {{"POST", "/v1/audio/speech"}, audio_speech, kLong},
    {{"POST", "/v1/audio/diarization"}, audio_diarization, kLong},
    {{"POST", "/models/load"}, load_model, kLong},
    {{"POST", "/models/unload"}, unload_model, kLong},
    {{"POST", "/v1/jobs"}, submit_job, 0},
    {{"GET", "/v1/jobs"}, list_jobs, 0},
    {{"GET", "/v1/jobs/{}"}, show_job, 0},
    {{"GET", "/v1/jobs/{}/result"}, job_result, 0},
    {{"GET", "/v1/jobs/{}/events"}, job_events, kLong},
    {{"POST", "/v1/jobs/{}/cancel"}, cancel_job, 0},
    {{"POST", "/v1/jobs/{}/pause"}, pause_job, 0},
    {{"POST", "/v1/jobs/{}/resume"}, resume_job, 0},
    {{"POST", "/v1/jobs/{}/retry"}, retry_job, 0},
    {{"GET", "/v1/modes"}, list_modes, kLooks},
    {{"POST", "/v1/modes/{*}"}, set_mode, 0},
    {{"POST", "/v1/prune"}, prune_jobs, kLong},
    {{"POST", "/v1/backup"}, back_up, kLong},
    {{"POST", "/v1/leases"}, lease_device, kLong},
    {{"GET", "/v1/leases"}, list_leases, kLooks},
    {{"GET", "/v1/logs/{*}"}, model_log, kLocalOnly},
    {{"POST", "/v1/stop"}, stop_daemon, kLocalOnly},
};

std::vector<Pattern> patterns() {
  std::vector<Pattern> list;
  for (const Route& route : kRoutes) list.push_back(route.pattern);
  return list;
}

// Adds the CORS headers to whatever the route answers, and counts it.
class Answering final : public http::Exchange {
 public:
  Answering(http::Exchange& inner, http::Headers extra, RequestCounts& counts,
            std::string_view route)
      : inner_(inner), extra_(std::move(extra)), counts_(counts), route_(route) {}
  const http::Request& request() const override { return inner_.request(); }
  bool local() const override { return inner_.local(); }
  const http::Address& peer_of() const override { return inner_.peer_of(); }
  const http::Cancel& gone() const override { return inner_.gone(); }
  void reply(http::Response response) override {
    dress(response);
    inner_.reply(std::move(response));
  }
  [[nodiscard]] Result<void> begin(http::Response head) override {
    dress(head);
    return inner_.begin(std::move(head));
  }
  [[nodiscard]] Result<void> write(std::string_view piece) override { return inner_.write(piece); }

 private:
  void dress(http::Response& response) {
    if (!std::exchange(counted_, true)) counts_.add(route_, response.status);
    response.headers.insert(response.headers.end(), extra_.begin(), extra_.end());
  }
  http::Exchange& inner_;
  http::Headers extra_;
  RequestCounts& counts_;
  std::string_view route_;
  bool counted_ = false;
};

ApiError transport_error(int status, std::string_view cause) {
  std::string_view code = code_name(Code::kUsage);
  if (status == 408) code = code_name(Code::kTimeout);
  if (status == 413 || status == 431) code = code_name(Code::kTooLarge);
  if (status == 503) code = code_name(Code::kBusy);
  return {status, std::string(cause), std::string(code), {}};
}

class Server final : public ApiServer {
 public:
  Server(ServeOptions options, ForemanClient& foreman, Os& os, const Clock& clock, Log& log)
      : options_(std::move(options)),
        guard_({options_.api_key, options_.allowed_hosts, options_.allowed_origins}),
        patterns_(patterns()),
        api_{.options = options_,
             .guard = guard_,
             .foreman = foreman,
             .os = os,
             .clock = clock,
             .log = log,
             .gate = Gate(options_.long_requests_max)},
        last_worked_(clock.steady().count()) {}
  ~Server() override { stop(); }

  Result<void> start() {
    http::ServerOptions transport = options_.transport;
    transport.listen = options_.listen;
    // Those at the gate may all be waiting: the others still find a thread.
    constexpr uint32_t kShortThreads = 8;
    transport.threads = options_.long_requests_max + kShortThreads;
    transport.admit = [this](const http::Request& head, const http::Address& via) {
      auto answer = guard_.check(head, via);
      if (answer) api_.counts.add("refused", answer->status);
      return answer;
    };
    transport.refuse = [this](int status, std::string_view cause) {
      api_.counts.add("refused", status);
      return error_response(transport_error(status, cause));
    };
    auto server = http::serve(std::move(transport),
                              [this](http::Exchange& exchange) { handle(exchange); });
    if (!server) return fail(server.error());
    const std::lock_guard lock(mutex_);
    server_ = std::move(*server);
    return {};
  }

  std::vector<http::Address> addresses() const override { return server_->addresses(); }
  uint32_t working() const override { return api_.working; }
  Millis last_worked() const override { return Millis{last_worked_.load()}; }
  void stop() override {
    if (server_) server_->stop();
  }

 private:
  void handle(http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    const Match match = match_route(patterns_, request.method, request.path());
    Answering answering(exchange, guard_.cors(request, exchange.peer_of()), api_.counts,
                        match.row ? patterns_[*match.row].path : "unknown");
    if (match.row) {
      Call call{api_, answering, match.argument};
      dispatch(kRoutes[*match.row], call);
    } else if (!match.allow.empty()) {
      http::Response response = error_response(
          {405, http::printable(request.path()) + " takes " + match.allow, "method_not_allowed",
           {}});
      response.headers.emplace_back("Allow", match.allow);
      answering.reply(std::move(response));
    } else {
      answering.reply(error_response({404, "there is no " + http::printable(request.path()),
                                      std::string(code_name(Code::kNotFound)), {}}));
    }
  }

  void dispatch(const Route& route, Call& call) {
    if ((route.traits & kLocalOnly) != 0 && !call.exchange.local()) {
      return call.reply(ApiError{403, "this works over the daemon's unix socket only",
                                 std::string(code_name(Code::kPermission)), {}});
    }
    {
      const std::lock_guard lock(mutex_);
      if (server_) api_.connections = server_->connections();
    }
    const bool works = (route.traits & kLooks) == 0;
    if (works) ++api_.working;
    run(route, call);
    if (!works) return;
    last_worked_ = api_.clock.steady().count();
    --api_.working;
  }

  void run(const Route& route, Call& call) {
    if ((route.traits & kLong) == 0) return guarded(route, call);
    if (!api_.gate.enter()) {
      return call.reply(ApiError{503, "too many requests are waiting already (try again later)",
                                 std::string(code_name(Code::kBusy)), {}});
    }
    guarded(route, call);
    api_.gate.leave();
  }

  // A vendor's exception that a route did not foresee ends that request alone.
  void guarded(const Route& route, Call& call) {
    try {
      route.handle(call);
    } catch (const std::exception& error) {
      api_.log.error("request_failed", {{"route", std::string(route.pattern.path)},
                                        {"error", error.what()}});
      call.reply(ApiError{500, "the daemon could not answer this request",
                          std::string(code_name(Code::kInternal)), {}});
    }
  }

  const ServeOptions options_;
  const Guard guard_;
  const std::vector<Pattern> patterns_;
  Api api_;
  std::atomic<int64_t> last_worked_;
  std::mutex mutex_;  // of server_ while it starts: requests may come before start() has it
  std::unique_ptr<http::Server> server_;
};

Result<void> check_options(const ServeOptions& options) {
  for (const http::Address& address : options.listen) {
    if (address.loopback() || !options.api_key.empty()) continue;
    return fail(Code::kUsage, "refusing to listen on " + address.text() + " without an API key",
                "set GANTRY_API_KEY or api_key_file, or listen on 127.0.0.1");
  }
  return {};
}

// What a killed daemon left there.
Result<void> prepare_spool(Os& os, const std::string& dir) {
  auto made = os.make_dirs(dir, 0700);
  if (!made) return fail(made.error());
  auto names = os.list(dir);
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    auto removed = os.remove(join_path(dir, name));
    if (!removed) return fail(removed.error());
  }
  return {};
}

}  // namespace

bool Gate::enter() {
  uint32_t now = inside_;
  while (now < most_) {
    if (inside_.compare_exchange_weak(now, now + 1)) return true;
  }
  return false;
}

Result<std::unique_ptr<ApiServer>> serve_api(ServeOptions options, ForemanClient& foreman, Os& os,
                                             const Clock& clock, Log& log) {
  auto checked = check_options(options);
  if (!checked) return fail(checked.error());
  auto prepared = prepare_spool(os, options.spool_dir);
  if (!prepared) return fail(prepared.error());
  auto server = std::make_unique<Server>(std::move(options), foreman, os, clock, log);
  auto started = server->start();
  if (!started) return fail(started.error());
  return server;
}

}  // namespace gantry
