// Counts follow llama.cpp's graphs; what is rounded there says so.
#include "plan/speed_work.h"

#include <algorithm>

#include "model/tensor_type.h"
#include "plan/need.h"

namespace gantry {

namespace {

// Operations of one layer that compute: two norms and their weights, q, k, v, two rotations, two
// stores, scores, softmax, values, one copy, o, addition, gate, up, their product, down, addition.
constexpr double kLayerSteps = 22;
// Of routed experts, besides: router, softmax, sort, rows, sum, division, scaling; and an addition
// for each expert used.
constexpr double kExpertSteps = 8;
constexpr double kPassSteps = 6;  // embedding, last norm, output, masks
// Rows of the embedding's width, of all query heads', and of the feed-forward part's that
// operations between matrices read or write for one token.
constexpr double kEmbdRows = 18, kQueryRows = 6, kFeedRows = 3;
constexpr double kFloat = 4;

const TensorType* type_named(std::string_view name) {
  for (uint32_t id = 0; id < kTensorTypeCount; ++id) {
    const TensorType* type = tensor_type(id);
    if (type != nullptr && type->name == name) return type;
  }
  return nullptr;
}

void add(std::vector<Matrices>* all, const std::string& type, bool experts, double bytes,
         double used) {
  if (bytes <= 0) return;
  const auto found = std::ranges::find_if(*all, [&](const Matrices& one) {
    return one.experts == experts && one.type == type;
  });
  if (found != all->end()) {
    found->bytes += bytes;
  } else {
    all->push_back({type, experts, bytes, used, 0});
  }
}

void add_group(const ModelCard& card, const TensorGroup& group, std::vector<Matrices>* all) {
  const double used = card.experts == 0 ? 1
                                        : std::min(1.0, std::max(card.experts_used, 1U) /
                                                            static_cast<double>(card.experts));
  if (group.types.empty() && group.expert_types.empty()) {
    add(all, card.quantisation, false, static_cast<double>((group.bytes - group.expert_bytes).n),
        1);
    add(all, card.quantisation, true, static_cast<double>(group.expert_bytes.n), used);
    return;
  }
  for (const auto& [type, bytes] : group.types) {
    add(all, type, false, static_cast<double>(bytes), 1);
  }
  for (const auto& [type, bytes] : group.expert_types) {
    add(all, type, true, static_cast<double>(bytes), used);
  }
}

void count_weights(std::vector<Matrices>* all) {
  for (Matrices& one : *all) one.weights = elements_of(one.type, one.bytes);
}

double row_bytes(CacheType type, uint32_t width) {
  return static_cast<double>(cache_row_bytes(type, width).n);
}

void add_attention(const Wish& wish, const Stretch& part, PartWork* work) {
  const ModelCard& card = *wish.card;
  double query = 0;
  for (uint32_t i = part.first; i < part.first + part.count; ++i) {
    if (card.kv.empty()) {  // an encoder: no cache, the same products
      work->score_width += 2.0 * card.embd;
      query += card.embd;
      continue;
    }
    if (i >= card.kv.size()) break;
    const LayerKv& layer = card.kv[i];
    if (layer.k_width == 0) continue;
    const double width = static_cast<double>(card.heads) * (layer.k_head + layer.v_head);
    if (layer.window > 0) {
      work->windows.emplace_back(layer.window, width);
    } else {
      work->score_width += width;
    }
    work->cache_bytes += row_bytes(wish.cache_k, layer.k_width) +
                         row_bytes(wish.cache_v, layer.v_width);
    query += static_cast<double>(card.heads) * layer.k_head;
  }
  const double feed = card.experts > 0
                          ? std::max(card.experts_used, 1U) *
                                (static_cast<double>(card.ffn) * kFeedRows + 3.0 * card.embd)
                          : static_cast<double>(card.ffn) * kFeedRows;
  work->activations = kFloat * (part.count * (kEmbdRows * card.embd + feed) + kQueryRows * query);
}

}  // namespace

double bits_of(const std::string& type) {
  const TensorType* known = type_named(type);
  return known == nullptr || known->block == 0 ? 16 : 8.0 * known->bytes / known->block;
}

double elements_of(const std::string& type, double bytes) { return bytes * 8 / bits_of(type); }

std::vector<Stretch> parts_of(const Wish& wish, const Choice& choice) {
  const uint32_t layers = layers_of(wish);
  if (choice.stream) return {{choice.stream->device, true, 0, layers, true}};
  if (choice.resident == 0) return {{kHost, false, 0, layers, true}};
  std::vector<Stretch> out;
  if (choice.split_mode == SplitMode::kTensor) {  // all at once
    for (const Split& split : choice.splits) out.push_back({split.device, false, 0, layers, true});
    return out;
  }
  const uint32_t on_host = layers - std::min(choice.resident, layers);
  // Beside an accelerator the CPU's weights lie in its host buffers, as the file has them.
  if (on_host > 0) out.push_back({kHost, true, 0, on_host, false});
  uint32_t first = on_host;
  std::vector<Split> splits = choice.splits;
  if (splits.empty()) splits = {{choice.device, choice.resident}};
  for (const Split& split : splits) {
    if (split.layers == 0) continue;
    out.push_back({split.device, false, first, split.layers, false});
    first += split.layers;
  }
  out.back().output = true;
  return out;
}

PartWork work_of(const Wish& wish, const Stretch& part) {
  PartWork work;
  const ModelCard& card = *wish.card;
  const bool tied = is_tied(card);
  for (const TensorGroup& group : card.groups) {
    if (group.part == Part::kLayer && group.layer >= 0) {
      const auto layer = static_cast<uint32_t>(group.layer);
      if (layer < part.first || layer - part.first >= part.count) continue;
      add_group(card, group, &work.layers);
    } else if (part.output && (group.part == Part::kOutput ||
                               (tied && group.part == Part::kEmbedding && !is_encoder(wish)))) {
      add_group(card, group, &work.output);
    }
  }
  count_weights(&work.layers);
  count_weights(&work.output);
  const double used = card.experts > 0 ? kExpertSteps + std::max(card.experts_used, 1U) : 0;
  work.steps = part.count * (kLayerSteps + used) + (part.output ? kPassSteps : 0);
  add_attention(wish, part, &work);
  const uint32_t layers = std::max(card.layers, 1U);
  work.state_bytes = 2.0 * static_cast<double>(card.state_bytes.n) * part.count / layers;
  return work;
}

}  // namespace gantry
