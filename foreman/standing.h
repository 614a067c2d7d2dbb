// A model that is loaded as long as the daemon runs: opened at its start, and again when its worker
// has ended.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "config/config.h"
#include "foreman/client.h"

namespace gantry {

struct StandingOptions {
  const Clock* clock = nullptr;
  Log* log = nullptr;
  std::string model;
  // Asked before each start; an Error is its trouble, and it is tried again later.
  std::function<Result<void>()> may_start;
  std::function<Result<std::unique_ptr<Session>>(const http::Cancel& cancel)> open;
  Millis look{100};         // between two looks at its worker
  Millis rest_first{1'000};  // after a start that failed, then twice as long, to kRestMax; each a
                             // quarter more or less
};

// Whether the address that a command is told by --listen and --port can be listened at now. kBusy
// names it, and npu_worker, whose it is.
[[nodiscard]] Result<void> port_is_free(const std::string& command);

// Thread-safe. A thread of its own holds the session, so that nobody's need of memory unloads it.
class Standing {
 public:
  explicit Standing(StandingOptions options);
  ~Standing();
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;

  // Gives the session back and starts nothing more. Twice is fine.
  void stop();
  // Why it does not run; empty while it does, or is being loaded.
  std::string trouble();
  // Its own row says why it does not run, and is "resting" where nothing of it does.
  void tell(std::vector<ModelStatus>* models);
  // Sessions and requests in line that are its own: 0 or 1.
  uint32_t holds() const { return holds_; }

 private:
  void run();
  void stay(Session& session);
  bool rest(Millis* length);
  void note(const Error* error);

  const StandingOptions options_;
  http::Cancel stopping_{false};
  std::atomic<uint32_t> holds_{0};
  Mutex mutex_;
  CondVar changed_;
  std::string trouble_;
  Thread thread_;
};

// The configuration's NPU worker; null where it has none. `clock` and `log` outlive it.
std::unique_ptr<Standing> keep_npu_worker(
    const Config& config, const Clock& clock, Log& log,
    std::function<Result<std::unique_ptr<Session>>(const http::Cancel& cancel)> open);

}  // namespace gantry
