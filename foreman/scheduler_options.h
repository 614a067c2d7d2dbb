// What a scheduler is given: the machine behind its seams, budgets, and who else is there.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "foreman/lease_folder.h"
#include "foreman/live.h"
#include "foreman/loadable.h"
#include "foreman/sampler.h"
#include "foreman/store.h"

namespace gantry {

using WorkerFactory = std::function<Result<std::unique_ptr<Worker>>(const WorkerSpec&)>;

// Asked now and then while a request is in line, under the scheduler's lock: false, and it leaves.
using Patience = std::function<bool(Millis waited)>;

// The line in front of some models.
struct LineWaits {
  bool used = false;     // somebody has a session, or waits for one
  bool waiting = false;  // somebody waits; not for a load that goes on
  Millis busy{0};        // the longest wait for a session or for room
  Millis starved{0};     // the longest wait for memory that other programs hold
};

struct SchedulerOptions {
  Os* os = nullptr;
  const Clock* clock = nullptr;
  Log* log = nullptr;
  Store* store = nullptr;      // leases and measurements
  Sampler* sampler = nullptr;
  WorkerFactory factory;
  Shares budgets;
  std::string boot_id;
  Live* live = nullptr;  // null: memory is there when the ledger says so
  Replan replan;         // empty: plans do not change
  Millis wait_max{60'000};  // for memory that others hold
  Millis hung_after{300'000};  // 0: never
  Cgroups* cgroups = nullptr;  // null: workers have none
  LeaseFolder* shared = nullptr;  // null: nobody else leases anything
  std::map<std::string, std::string> identities;  // by device: what it is called there
  Shares ceilings;  // what the machine's daemons together may lend
};

}  // namespace gantry
