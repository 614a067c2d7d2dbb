// The daemon put together: configuration, audit, foreman, server; and when a shared one leaves.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/interrupt.h"
#include "base/os.h"
#include "base/result.h"

namespace gantry {

struct DaemonFlags {
  std::string state_dir, listen, config, ram_budget, vram_budget;
  bool shared = false;  // started by a client: leaves when clients and queue are gone
};

// Runs until a signal, /v1/stop, or, when shared, until it has had nothing to do for the linger
// time. Everything it started is gone when it returns.
[[nodiscard]] Result<void> run_daemon(Os& os, Interrupt& interrupt, const DaemonFlags& flags);

}  // namespace gantry
