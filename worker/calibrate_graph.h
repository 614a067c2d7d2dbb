// Graphs of a calibration: one device, weights of one type, and the time that computing takes.
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"

namespace gantry {

struct FreeSheet {
  void operator()(ggml_context* context) const { ggml_free(context); }
};
struct FreeBackend {
  void operator()(ggml_backend* backend) const { ggml_backend_free(backend); }
};
struct FreeBuffer {
  void operator()(ggml_backend_buffer* buffer) const { ggml_backend_buffer_free(buffer); }
};
using SheetContext = std::unique_ptr<ggml_context, FreeSheet>;
using Backend = std::unique_ptr<ggml_backend, FreeBackend>;
using Buffer = std::unique_ptr<ggml_backend_buffer, FreeBuffer>;

// How long one measurement goes on.
struct Patience {
  double seconds = 0.4;
  int passes_min = 5;
};

// A device that computes, with as many threads as it was told where that means anything.
struct Unit {
  ggml_backend_dev_t device = nullptr;
  Backend backend;
  const std::atomic<bool>* cancel = nullptr;
};

// Where weights go, and whether they are rearranged for it there.
struct WeightPlace {
  ggml_backend_buffer_type_t type = nullptr;
  bool rearranged = false;
};
// The places for matrices of this type, as llama.cpp picks them, the best first; none where the
// device does not multiply them. With `experts`: for matrices picked by a router.
std::vector<WeightPlace> places_of(const Unit& unit, ggml_type type, bool experts);

struct RateSeconds {
  double bytes = 0, decode_s = 0;  // of one pass of one token
  double flop = 0, prefill_s = 0;  // of one batch
  int steps = 0;                   // operations of the decode pass
  double rearranged_bytes = 0, rearrange_s = 0;  // of one matrix; zeros where that is not done
};

// kDoesNotFit where memory is not to be had, kCancelled, kWorkerFailed.
[[nodiscard]] Result<RateSeconds> time_layers(const Unit& unit, ggml_type type,
                                              const WeightPlace& place, const Patience& patience);
[[nodiscard]] Result<RateSeconds> time_experts(const Unit& unit, ggml_type type,
                                               const WeightPlace& place,
                                               const Patience& patience);
[[nodiscard]] Result<RateSeconds> time_attention(const Unit& unit, bool flash,
                                                 const Patience& patience);
// bytes and flop (elements) of operations between matrices, in one batch; decode_s is of one token,
// which is all steps.
[[nodiscard]] Result<RateSeconds> time_activations(const Unit& unit, const Patience& patience);
// Bytes per second to the device; from pinned memory, nothing where it has none.
[[nodiscard]] Result<std::optional<double>> copy_rate(const Unit& unit, bool pinned,
                                                      const Patience& patience);

}  // namespace gantry
