// Open, watch, open again.
#include "foreman/standing.h"

#include <algorithm>

#include "base/limits.h"
#include "base/rng.h"
#include "config/npu_worker_config.h"
#include "worker/command.h"

namespace gantry {

Result<void> port_is_free(const std::string& command) {
  const Result<std::vector<std::string>> words = split_command(command);
  if (!words) return fail(words.error());
  const auto after = [&words](const char* flag) {
    const auto found = std::ranges::find(*words, flag);
    return found == words->end() || found + 1 == words->end() ? std::string() : *(found + 1);
  };
  const std::string host = after("--listen");
  const bool bare = host.find(':') == std::string::npos;
  const Result<http::Address> address =
      http::parse_address((bare ? host : "[" + host + "]") + ":" + after("--port"));
  if (!address) return fail(address.error());
  http::ServerOptions probe;
  probe.listen = {*address};
  probe.threads = 1;
  const auto bound = http::serve(std::move(probe), [](http::Exchange&) {});
  if (bound) return {};
  return fail(bound.error().code, "npu_worker: " + bound.error().message,
              "name another port in npu_worker, or end who has it");
}

Standing::Standing(StandingOptions options) : options_(std::move(options)) {
  thread_ = Thread([this] { run(); });
}

Standing::~Standing() { stop(); }

void Standing::stop() {
  stopping_ = true;
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string Standing::trouble() {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Standing::tell(std::vector<ModelStatus>* models) {
  const auto own = std::ranges::find(*models, options_.model, &ModelStatus::name);
  if (own == models->end() || own->state == "ready") return;
  if (const std::string why = trouble(); !why.empty()) own->waits = why;
  if (own->state == "unloaded" && !own->waits.empty()) own->state = "resting";
}

void Standing::note(const Error* error) {
  const std::lock_guard lock(mutex_);
  const std::string words = error == nullptr ? "" : describe(*error);
  if (words == trouble_) return;  // told already
  trouble_ = words;
  if (error != nullptr) {
    options_.log->warn("standing_model_down", {{"model", options_.model}, {"error", words}});
  }
}

// False: it is over.
bool Standing::rest(Millis* length) {
  Rng rng = Rng::from_system();
  const auto spread = static_cast<uint64_t>(length->count() / 2 + 1);
  const Millis pause = *length - Millis(length->count() / 4) +
                       Millis(static_cast<int64_t>(rng.below(spread)));
  *length = std::min(*length * 2, kRestMax);
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, pause, [&] { return stopping_.load(); });
  return !stopping_;
}

// As long as its worker lives. What becomes of a worker that died, and how long the next one waits,
// is the scheduler's affair, as of every model.
void Standing::stay(Session& session) {
  note(nullptr);
  while (!stopping_) {
    if (Result<void> alive = session.worker().alive(); !alive) {
      note(&alive.error());
      return;
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, options_.look, [&] { return stopping_.load(); });
  }
}

void Standing::run() {
  Millis pause = options_.rest_first;
  while (!stopping_) {
    Result<void> may = options_.may_start ? options_.may_start() : Result<void>{};
    Result<std::unique_ptr<Session>> session = nullptr;
    if (may) {
      holds_ = 1;
      session = options_.open(stopping_);
    }
    if (may && session) {
      pause = options_.rest_first;
      stay(**session);
      session->reset();
      holds_ = 0;
      continue;
    }
    holds_ = 0;
    if (stopping_) return;
    note(may ? &session.error() : &may.error());
    if (!rest(&pause)) return;
  }
}

// The port is looked at before a process is started for it, so that who has it is told at once.
std::unique_ptr<Standing> keep_npu_worker(
    const Config& config, const Clock& clock, Log& log,
    std::function<Result<std::unique_ptr<Session>>(const http::Cancel& cancel)> open) {
  const auto worker = std::ranges::find(config.models, kNpuWorker, &ModelConfig::kind);
  if (worker == config.models.end()) return nullptr;
  return std::make_unique<Standing>(StandingOptions{
      &clock, &log, kNpuWorker, [command = worker->cmd] { return port_is_free(command); },
      std::move(open)});
}

}  // namespace gantry
