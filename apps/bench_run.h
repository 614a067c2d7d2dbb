// Runs `gantry-worker measure` for one configuration and gathers what it says.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/bench_setup.h"
#include "apps/interrupt.h"
#include "base/os.h"

namespace gantry {

// What all configurations of one bench have in common.
struct BenchPlan {
  std::string worker;   // gantry-worker
  std::string plugin;   // libggml-gantry.so
  std::string model;    // file
  std::string inner;    // the streamer's inner device; empty: its own choice
  std::string vram_budget;  // likewise its device budget
  std::string log;      // where the worker's stderr is kept; empty: nowhere
  int prompt = 512, decode = 32, sequences = 1;
  int warmup = 1, iterations = 3;
  int threads = 0, batch = 2048, ubatch = 512, context = 0;
};

// The worker's arguments and environment for one configuration.
ProcessSpec worker_spec(const BenchPlan& plan, const BenchSetup& setup);

// What one process said: its "iteration" events, "loaded" and "done".
struct BenchRun {
  nlohmann::json loaded, done;
  std::vector<nlohmann::json> iterations;
};

// Takes one line of the worker. kWorkerFailed and others as it names them; kCorrupt where the line
// is no event.
[[nodiscard]] Result<void> take_event(const std::string& line, BenchRun* run);

// kCancelled when the user interrupts; the process is then gone. kWorkerFailed with its end where
// it said nothing.
[[nodiscard]] Result<BenchRun> run_worker(Os& os, const BenchPlan& plan, const BenchSetup& setup,
                                          const Interrupt& interrupt);

// A phase's field of all iterations, "decode" "tokens_per_second"; what is missing is left out.
std::vector<double> series(const std::vector<BenchRun>& runs, const char* phase,
                           const std::string& field);

}  // namespace gantry
