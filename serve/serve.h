// The API server: OpenAI-shaped routes, models, jobs and metrics over the foreman's door.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "foreman/client.h"
#include "http/http.h"
#include "worker/sound_encoding.h"

namespace gantry {

struct ServeOptions {
  std::vector<http::Address> listen;
  std::string api_key;                       // empty: none asked for; not over unix sockets
  std::vector<std::string> allowed_hosts;    // besides the listening address and localhost
  std::vector<std::string> allowed_origins;  // besides our own, "https://app.example"
  std::string version;
  std::string ram_budget, vram_budget;  // as the daemon was told; GET /running shows them
  std::string spool_dir;  // ours alone: emptied at the start, uploads lie there while in use
  // POST /v1/stop over the unix socket; called on a handler's thread: ask for the stop, return.
  std::function<void()> on_stop;
  // Speech in another format than wav and pcm, of a voice of `rate` Hz.
  std::function<Result<std::unique_ptr<SoundEncoding>>(SoundFormat format, uint32_t rate)> encode;
  // Requests that may wait for a model or a job at once; beyond: 503 with Retry-After.
  uint32_t long_requests_max = 64;
  Millis worker_idle_timeout{600'000};  // a worker that says nothing for so long
  // The transport's own limits; listen, threads, admit and refuse are set here.
  http::ServerOptions transport = {};
};

class ApiServer {
 public:
  virtual ~ApiServer() = default;  // stops
  virtual std::vector<http::Address> addresses() const = 0;
  // Requests at work now, without those that only look (health, metrics, models, running).
  virtual uint32_t working() const = 0;
  // When the last of them ended, on the steady clock; the server's start when there was none.
  virtual Millis last_worked() const = 0;
  virtual void stop() = 0;  // not from a handler
};

// `foreman`, `os`, `clock` and `log` outlive the server. kUsage: an address off loopback without
// a key; kBusy: an address is taken.
[[nodiscard]] Result<std::unique_ptr<ApiServer>> serve_api(ServeOptions options,
                                                           ForemanClient& foreman, Os& os,
                                                           const Clock& clock, Log& log);

}  // namespace gantry
