// What a compute graph says about weights: which are used, in what order, and which together.
#pragma once

#include <cstdint>
#include <vector>

#include "ggml-backend.h"
#include "stream/store.h"

namespace gantry {

// Weights that must be on the device at once, because kernels may fuse their uses.
using WeightGroup = std::vector<Weight*>;

struct GraphFacts {
  std::vector<WeightGroup> groups;             // in order of first use, without the small ones
  WeightGroup small;                           // under kSmallWeight
  std::vector<WeightGroup> banks;              // a layer's experts; used through a router only
  std::vector<ggml_backend_buffer_t> buffers;  // the program's own, on the inner device
};

// fuse: matrix products of the same input form one group (query, key and value; gate and up), as
// kernels of devices other than the CPU may compute them in one go.
GraphFacts read_graph(const ggml_cgraph* graph, ggml_backend_buffer_type_t streamed,
                      ggml_backend_buffer_type_t inner, bool fuse);

// The weight behind a tensor or a view of it; null when it is none of ours.
Weight* weight_of(const ggml_tensor* tensor, ggml_backend_buffer_type_t streamed);

// Nodes that compute nothing.
bool is_empty_op(const ggml_tensor* node);

}  // namespace gantry
