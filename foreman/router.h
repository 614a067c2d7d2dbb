// Who answers for a model: its own worker here or, as the last step, a relay to somewhere else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "config/config.h"
#include "foreman/modes.h"
#include "foreman/roster.h"
#include "foreman/scheduler.h"

namespace gantry {

// One request for a session.
struct Asking {
  std::string model;
  std::string device, shortage;  // the job's words, as behind a model's name: "#device=gpu0"
  bool trusted = false;
  bool stays = false;  // private: nothing of it leaves this machine
  int priority = 0;
  bool durable = false;
  std::string why = {};     // of one of several: why it is this model
  Patience patience = {};   // likewise: how long in line
};

// kPermission where `asked` may not be answered by `relay` (itself, if it is one): denied, or not
// among those that are allowed. Denied wins.
[[nodiscard]] Result<void> may_leave(const Config& config, const std::string& asked,
                                     const std::string& relay);

// Thread-safe. All that it is given must outlive it.
//
// A model that names relays (`cloud`) goes to the first of them that is ready when it does not fit,
// cannot be started, rests because its worker died again and again, or is not free within
// `cloud_after`. Not where words on shortage are given without "cloud" among them.
//
// One that is one of several (`one_of`) is whom its mode takes now; the next of them where that one
// cannot be had, or where the mode has stepped down while the request was in line.
class Router {
 public:
  Router(const Config& config, Roster& roster, Scheduler& scheduler, Modes& modes, Log& log)
      : config_(config), roster_(roster), scheduler_(scheduler), modes_(modes), log_(log) {}

  // The session's why() says why it is not who was asked for; an error, what was tried.
  [[nodiscard]] Result<std::unique_ptr<Session>> open(const Asking& asking,
                                                      const http::Cancel& cancel);

 private:
  [[nodiscard]] Result<std::unique_ptr<Session>> open_choice(const ModelConfig& choice,
                                                             const Asking& asking,
                                                             const http::Cancel& cancel);
  [[nodiscard]] Result<Loadable> find(const Asking& asking);
  [[nodiscard]] Result<std::unique_ptr<Session>> open_here(const Asking& asking, Millis patience,
                                                           const http::Cancel& cancel);
  [[nodiscard]] Result<std::unique_ptr<Session>> open_relay(const ModelConfig& model,
                                                            const Asking& asking,
                                                            const Error& why,
                                                            const http::Cancel& cancel);
  [[nodiscard]] Result<std::unique_ptr<Session>> open_one(const std::string& relay,
                                                          const std::string& why,
                                                          const Asking& asking,
                                                          const http::Cancel& cancel);

  const Config& config_;
  Roster& roster_;
  Scheduler& scheduler_;
  Modes& modes_;
  Log& log_;
};

}  // namespace gantry
