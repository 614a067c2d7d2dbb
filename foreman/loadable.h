// A model as it is loaded: what was planned, and what becomes of it when memory is short or it
// needs more than was planned.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/config.h"
#include "foreman/ledger.h"
#include "plan/demand.h"
#include "worker/worker.h"

namespace gantry {

constexpr const char* kCloudDevice = "cloud";  // where a relay's answers come from

// What has to be known of a model to load it.
struct Loadable {
  std::string name;
  std::string kind;
  std::string device;       // where most of it runs
  std::string fingerprint;  // of file and settings: what a measurement belongs to
  std::string asked;        // as the user wants it: another one is another model. Planned smaller
                            // for want of memory it is still the same
  Shares shares;
  Bytes corrected;          // of host memory: what earlier loads have added
  uint32_t slots = 1;  // sessions at once
  Millis ttl{0};       // idle time before it is unloaded; 0: never
  Growth growth = Growth::kWarn;
  std::vector<Shortage> shortage;  // what to do when others hold the memory; empty: wait
  std::string why;          // of one request: why it is this model that answers it
  WorkerSpec spec;
};

// Plans a model once more: into `rooms`, by device, or as ever where there are none.
using Replan = std::function<Result<Loadable>(const std::string& model, const Shares* rooms)>;

}  // namespace gantry
