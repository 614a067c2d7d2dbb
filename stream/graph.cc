// Reading a compute graph for the weights in it.
#include "stream/graph.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "ggml-impl.h"
#include "stream/residency.h"

namespace gantry {
namespace {

// In the order of use: experts (through MUL_MAT_ID alone) apart from the others.
struct Uses {
  std::unordered_set<const Weight*> seen;
  std::unordered_set<const Weight*> routed;  // by MUL_MAT_ID
  std::unordered_set<const Weight*> plain;   // by anything else
};

bool routes(const ggml_tensor* node, int source) {
  return node->op == GGML_OP_MUL_MAT_ID && source == 0 && node->src[0]->ne[2] > 1 &&
         node->src[0]->view_src == nullptr;
}

Uses count_uses(const ggml_cgraph* graph, ggml_backend_buffer_type_t streamed) {
  Uses uses;
  for (int i = 0; i < graph->n_nodes; i++) {
    const ggml_tensor* node = graph->nodes[i];
    if (is_empty_op(node)) continue;
    for (int j = 0; j < GGML_MAX_SRC; j++) {
      const Weight* weight = weight_of(node->src[j], streamed);
      if (weight == nullptr) continue;
      (routes(node, j) && weight->layer ? uses.routed : uses.plain).insert(weight);
    }
  }
  return uses;
}

void note_buffer(std::vector<ggml_backend_buffer_t>& buffers, const ggml_tensor* tensor,
                 ggml_backend_buffer_type_t inner) {
  const ggml_tensor* root = tensor->view_src != nullptr ? tensor->view_src : tensor;
  ggml_backend_buffer_t buffer = root->buffer;
  if (buffer == nullptr || ggml_backend_buffer_get_type(buffer) != inner) return;
  if (ggml_backend_buffer_get_usage(buffer) == GGML_BACKEND_BUFFER_USAGE_WEIGHTS) return;
  if (!buffers.empty() && buffers.back() == buffer) return;
  if (std::find(buffers.begin(), buffers.end(), buffer) == buffers.end()) {
    buffers.push_back(buffer);
  }
}

}  // namespace

bool is_empty_op(const ggml_tensor* node) {
  return node->op == GGML_OP_NONE || node->op == GGML_OP_VIEW || node->op == GGML_OP_RESHAPE ||
         node->op == GGML_OP_PERMUTE || node->op == GGML_OP_TRANSPOSE;
}

Weight* weight_of(const ggml_tensor* tensor, ggml_backend_buffer_type_t streamed) {
  if (tensor == nullptr) return nullptr;
  const ggml_tensor* root = tensor->view_src != nullptr ? tensor->view_src : tensor;
  if (root->buffer == nullptr || ggml_backend_buffer_get_type(root->buffer) != streamed) {
    return nullptr;
  }
  return static_cast<Weight*>(root->extra);
}

GraphFacts read_graph(const ggml_cgraph* graph, ggml_backend_buffer_type_t streamed,
                      ggml_backend_buffer_type_t inner, bool fuse) {
  GraphFacts facts;
  Uses uses = count_uses(graph, streamed);
  std::map<uint32_t, size_t> bank_of_layer, cache_of_layer;
  const ggml_tensor* last_input = nullptr;  // of the product that made the last group
  for (int i = 0; i < graph->n_nodes; i++) {
    const ggml_tensor* node = graph->nodes[i];
    note_buffer(facts.buffers, node, inner);
    if (is_empty_op(node)) continue;
    for (int j = 0; j < GGML_MAX_SRC; j++) {
      if (node->src[j] == nullptr) continue;
      Weight* weight = weight_of(node->src[j], streamed);
      if (weight == nullptr) {
        note_buffer(facts.buffers, node->src[j], inner);
        continue;
      }
      if (!uses.seen.insert(weight).second) continue;
      if (uses.routed.contains(weight) && !uses.plain.contains(weight)) {
        const auto [at, fresh] = bank_of_layer.emplace(*weight->layer, facts.banks.size());
        if (fresh) facts.banks.emplace_back();
        auto& bank = facts.banks[at->second];
        if (bank.empty() || bank[0]->tensor->ne[2] == weight->tensor->ne[2]) {
          bank.push_back(weight);
          continue;
        }
      }
      if (weight->bytes < kSmallWeight) {
        facts.small.push_back(weight);
        continue;
      }
      if (weight->store->is_cache() && weight->layer) {
        // Keys and values of a layer are attended to at once.
        const auto [at, fresh] = cache_of_layer.emplace(*weight->layer, facts.groups.size());
        if (fresh) facts.groups.emplace_back();
        facts.groups[at->second].push_back(weight);
        last_input = nullptr;
        continue;
      }
      const ggml_tensor* input = fuse && node->op == GGML_OP_MUL_MAT ? node->src[1] : nullptr;
      if (input == nullptr || input != last_input ||
          facts.groups.back().back()->layer != weight->layer) {
        facts.groups.emplace_back();
      }
      facts.groups.back().push_back(weight);
      last_input = input;
    }
  }
  return facts;
}

}  // namespace gantry
