// `gantry-worker calibrate`: how fast one ggml device multiplies matrices of each quantisation,
// attends, takes a step of a graph and is fed from host memory. Measured with ggml itself on graphs
// like a transformer layer's, weights larger than the caches.
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace gantry {

struct CalibrateOptions {
  std::string engine_dir;      // folder of ggml's backends
  std::string device = "CPU";  // by its ggml name
  std::vector<std::string> only;  // quantisations; empty: all that there are
  int threads = 0;             // 0: one for each processor this process may use
  bool quick = false;          // four quantisations, no experts, shorter runs
};

// Events, in order: "device" {"device","description","threads"}; "rate" {"quantisation",
// "decode_bytes_per_s","prefill_flop_per_s"} as each is measured; for devices with memory of their
// own one "copy" {"host_copy_bytes_per_s","pageable_copy_bytes_per_s"}, the former absent where
// there is no pinned memory; "step" {"step_s"}; "done". Rates are named:
//   Q4_0             matrices as whole models keep them there
//   Q4_0/plain       as the file has them, where the device would rearrange them
//   Q4_0/rearranging  bytes and weights rearranged while loading, on one thread
//   Q4_0/experts     matrices of routed experts, and Q4_0/experts/plain
//   attention, attention/flash  bytes of an F16 KV cache, and operations on scores
//   activations      operations between matrices on F32: bytes moved, and elements
// kUnavailable: the device or the backends; kUsage; kCancelled.
[[nodiscard]] Result<void> calibrate(const CalibrateOptions& options,
                                     const std::atomic<bool>& cancel,
                                     const std::function<void(const nlohmann::json&)>& on_event);

// The same as JSON lines on `out`, an error as {"event":"error","code","message","remedy"} and as a
// line on stderr. Returns the exit status.
int calibrate_to(int out, const CalibrateOptions& options, const std::atomic<bool>& cancel);

}  // namespace gantry
