// What every route is given, and the routes by file. Internal to the room.
#pragma once

#include <atomic>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "serve/guard.h"
#include "serve/metrics.h"
#include "serve/reply.h"
#include "serve/select.h"
#include "serve/serve.h"
#include "serve/spool.h"

namespace gantry {

// How many requests may wait for models and jobs at once. Thread-safe.
class Gate {
 public:
  explicit Gate(uint32_t most) : most_(most) {}
  bool enter();
  void leave() { --inside_; }

 private:
  const uint32_t most_;
  std::atomic<uint32_t> inside_{0};
};

struct Api {
  const ServeOptions& options;
  const Guard& guard;
  ForemanClient& foreman;
  Os& os;
  const Clock& clock;
  Log& log;
  RequestCounts counts = {};
  Gate gate;
  std::atomic<uint32_t> working{0};
  std::atomic<uint32_t> connections{0};  // as the transport last said
};

// One request on its way through a route.
struct Call {
  Api& api;
  http::Exchange& exchange;
  std::string argument;  // what stood for {} in the route's pattern

  const http::Request& request() const { return exchange.request(); }
  void reply(http::Response response) { exchange.reply(std::move(response)); }
  void reply(const ApiError& error) { exchange.reply(error_response(error)); }
};

// openai.cc
void chat_completions(Call& call);
void completions(Call& call);
void embeddings(Call& call);
// audio.cc
void audio_transcriptions(Call& call);
// voice.cc
void audio_speech(Call& call);
void audio_diarization(Call& call);
// models.cc
void health(Call& call);
void metrics(Call& call);
void running(Call& call);
void history(Call& call);
void list_models(Call& call);
void show_model(Call& call);
void load_model(Call& call);
void unload_model(Call& call);
void model_log(Call& call);
void stop_daemon(Call& call);
// modes.cc
void list_modes(Call& call);
void set_mode(Call& call);
// leases.cc
void lease_device(Call& call);
void list_leases(Call& call);
// jobs.cc
void submit_job(Call& call);
void list_jobs(Call& call);
void show_job(Call& call);
void job_result(Call& call);
void job_events(Call& call);
void cancel_job(Call& call);
void pause_job(Call& call);
void resume_job(Call& call);
void retry_job(Call& call);
void prune_jobs(Call& call);
void back_up(Call& call);

// audio.cc: uploads under the foreman's leases.
Decode decoder_of(ForemanClient& foreman);

// The body as a JSON object, with a non-empty text "model" where `needs_model`. Nothing: answered.
std::optional<nlohmann::json> read_body(Call& call, bool needs_model);

}  // namespace gantry
