// Computes a graph on the inner device, segment by segment, each when its weights are there.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "stream/cpu_side.h"
#include "stream/model.h"

namespace gantry {

// One per context of the program, used by one thread at a time.
class Executor {
 public:
  // `backend`: the inner device's, owned from here on.
  Executor(const Inner& inner, ggml_backend_t backend, ModelSet& models,
           ggml_backend_buffer_type_t streamed);
  ~Executor();
  Executor(const Executor&) = delete;

  ggml_backend_t backend() const { return backend_; }
  void set_threads(int threads);  // of what the CPU computes; 0: ggml's default
  // What went wrong is logged. The graph is as it was afterwards, whatever happened.
  ggml_status compute(ggml_cgraph* graph);

 private:
  // One graph under way.
  struct Pass {
    ggml_cgraph* graph = nullptr;
    StreamModel* model = nullptr;
    int begun = 0;  // first node that is not computed yet
    std::optional<size_t> piece;      // in use
    std::optional<size_t> finishing;  // its segment was handed to the device, and may still run
    std::vector<bool> on_cpu;  // pieces whose products the CPU takes; empty: none
    uint32_t batch = 0;
    const ggml_tensor* choices = nullptr;
    size_t bank = SIZE_MAX;
    ggml_tensor* slots = nullptr;  // `choices` as slots of `bank`
    struct Patch {
      ggml_tensor** where;
      ggml_tensor* original;
    };
    std::vector<Patch> patches;
    struct Moved {  // a node that computes into a cache
      ggml_tensor* node;
      void* data;
      ggml_backend_buffer_t buffer;
    };
    std::vector<Moved> moved;
  };

  // From node `begun` on, which is moved to where it came.
  ggml_status compute_streamed(ggml_cgraph* graph, StreamModel& model, int& begun);
  bool wants_plan(const ggml_cgraph* graph);
  ggml_status run(Pass& pass);
  ggml_status visit(Pass& pass, int node);
  ggml_status use_piece(Pass& pass, int node, size_t piece);
  void share(Pass& pass);
  ggml_status compute_on_cpu(Pass& pass, int node, const Weight& weight);
  ggml_status use_bank(Pass& pass, int node, const Weight& weight);
  ggml_status flush(Pass& pass, int end);
  void undo(Pass& pass);
  void settle(Pass& pass);
  void release(Pass& pass);
  void patch(Pass& pass, ggml_tensor** where, ggml_tensor* with);
  ggml_tensor* shown(const Weight& weight, ggml_tensor* source);

  const Inner& inner_;
  ggml_backend_t backend_;
  ModelSet& models_;
  ggml_backend_buffer_type_t streamed_;
  ggml_backend_event_t event_ = nullptr;  // after the last segment; null: the device has none
  std::unordered_map<ggml_backend_buffer_t, uint64_t> buffers_;  // seen, with their sizes
  std::unique_ptr<CpuSide> cpu_;  // made when first needed
  int threads_ = 0;
  // Clones of views of weights, in the order in which a graph uses them: the same graph finds the
  // same addresses again.
  std::deque<ggml_tensor> views_;
  size_t views_used_ = 0;
};

}  // namespace gantry
