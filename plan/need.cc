// The formulas. Constants were fitted to llama.cpp's and whisper.cpp's own logs and to resident
// sizes seen from outside; each is meant to be an upper bound, and says what it stands for.
#include "plan/need.h"

#include <algorithm>

namespace gantry {

namespace {

constexpr uint64_t kFloat = 4;  // graphs compute in F32

// Resident size of a llama-server that has answered, without weights, cache, graph and
// vocabulary: 14 MiB of program and libraries, the rest its own. 20.2 to 21.3 MiB were seen.
constexpr Bytes kLlamaBase = MiB(22);
// The same for an encoder: no chat template, no sampler. 16 MiB were seen.
constexpr Bytes kEncoderBase = MiB(18);
// gantry-worker speech: 13.3 MiB were seen.
constexpr Bytes kWhisperBase = MiB(14);
// ffmpeg turning a recording into 16 kHz mono: 51 MiB were seen.
constexpr Bytes kMediaBase = MiB(56);
// gantry-decode: 2.6 MiB of proportional and 5.7 MiB of resident size were seen.
constexpr Bytes kSmallMediaBase = MiB(6);
// Reading and scaling images in the server: 5 MiB, and 12 for one of 1920 x 1080, which is there
// twice while it is scaled. 12.3 MiB more were seen for one of that size.
constexpr Bytes kImageBase = MiB(17);
// A runtime context of an accelerator in host memory and on the device. Not seen here; in the
// range that drivers are known for.
constexpr Bytes kAcceleratorHost = MiB(200);
constexpr Bytes kAcceleratorDevice = MiB(300);
// A vocabulary in memory: strings, hash tables and merges take 6.4 to 7 times their bytes in the
// file; 137 to 152 bytes a token were seen where there are no merges.
constexpr uint64_t kVocabularyFactor = 8;
constexpr uint64_t kTokenBytes = 160;
constexpr uint64_t kWhisperTokenBytes = 200;  // two ordered maps, and rows of probabilities
constexpr uint64_t kSamplerTokenBytes = 16;   // a candidate and its logit, per sequence
// Graph nodes of whisper.cpp's schedulers: 1.5 MB in each of its four.
constexpr Bytes kWhisperGraphBase{1'560'000};
// Rows of logits that a decoder started without a prompt touches: it is fed four tokens, then
// one at a time.
constexpr uint64_t kWhisperRows = 16;

Bytes card_kv(const Wish& wish) {
  const ModelCard& card = *wish.card;
  if (wish.engine == EngineKind::kWhisper) {
    return card.kv_bytes(card.text_context, CacheType::kF16, CacheType::kF16) + card.state_bytes;
  }
  CacheShape shape;
  shape.ubatch = wish.ubatch;
  const Bytes one =
      card.kv_bytes(context_of(wish), wish.cache_k, wish.cache_v, shape) + card.state_bytes;
  return {product({one.n, wish.parallel})};
}

// Width of all query heads together; larger than the embedding in some architectures.
uint64_t query_width(const ModelCard& card) {
  uint64_t width = card.embd;
  for (const LayerKv& layer : card.kv) {
    width = std::max(width, product({layer.k_head, card.heads}));
  }
  return width;
}

uint64_t key_width(const ModelCard& card) {
  uint64_t width = card.kv.empty() ? card.embd : 0;
  for (const LayerKv& layer : card.kv) {
    width = std::max<uint64_t>({width, layer.k_width, layer.v_width});
  }
  return width;
}

// Width of the feed-forward part; of all experts that a token visits.
uint64_t ffn_width(const ModelCard& card) {
  if (card.experts == 0) return card.ffn;
  return product({std::max(card.experts_used, 1U), uint64_t{card.ffn} + card.embd});
}

uint32_t batch_of(const Wish& wish) {
  const uint32_t context = std::max(context_of(wish), 1U);
  return is_encoder(wish) || wish.embeddings ? context : std::min(wish.ubatch, context);
}

Bytes layer_bytes(const ModelCard& card, uint32_t first, uint32_t count) {
  Bytes sum;
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer || group.layer < 0) continue;
    const auto layer = static_cast<uint32_t>(group.layer);
    if (layer >= first && layer - first < count) sum += group.bytes;
  }
  return sum;
}

Bytes share(Bytes whole, uint32_t part, uint32_t all) {
  if (all == 0 || part == 0) return {};
  if (part >= all) return whole;
  return {whole.n / all * part + whole.n % all};
}

Bytes weights_of(const Wish& wish) {
  Bytes sum = wish.card->weight_bytes;
  if (wish.engine == EngineKind::kWhisper) sum = std::max(sum, wish.card->file_bytes);
  if (wish.mmproj) sum += wish.mmproj->weight_bytes;
  return sum;
}

// Everything in host memory.
Need host_only(const Wish& wish) {
  Need need{kHost, weights_of(wish), card_kv(wish), {}, overhead_bytes(wish)};
  if (wish.engine == EngineKind::kWhisper) {
    need.compute = whisper_graph_bytes(*wish.card, false);
    return need;
  }
  need.compute = llama_graph_bytes(wish) + llama_work_bytes(wish);
  if (wish.mmproj) need.compute += vision_graph_bytes(*wish.mmproj);
  return need;
}

// All of whisper's layers are on one accelerator: the first that has any.
std::vector<Need> whisper_split(const Wish& wish, const std::string& accelerator) {
  Need host = host_only(wish);
  Need device{accelerator, host.weights, host.kv, whisper_graph_bytes(*wish.card, true),
              kAcceleratorDevice};
  host.overhead += kAcceleratorHost;
  host.weights = host.kv = {};
  host.compute = {4 * kWhisperGraphBase.n};
  return {device, host};
}

// The last layers and the output on accelerators; embedding and the first layers stay. The vision
// encoder is on the first of them.
std::vector<Need> split(const Wish& wish, const std::vector<Split>& splits) {
  const ModelCard& card = *wish.card;
  const uint32_t layers = layers_of(wish);
  Need host = host_only(wish);
  const Bytes kv = host.kv;
  uint32_t resident = 0;
  for (const Split& part : splits) resident += part.layers;
  uint32_t next = layers - std::min(layers, resident);
  host.kv = share(kv, next, layers);
  std::vector<Need> needs;
  for (size_t i = 0; i < splits.size(); ++i) {
    Need& device = needs.emplace_back();
    device.device = splits[i].device;
    device.overhead = kAcceleratorDevice;
    host.overhead += kAcceleratorHost;
    Bytes moved = layer_bytes(card, next, splits[i].layers);
    next += splits[i].layers;
    if (i + 1 == splits.size()) moved += card.bytes_in(Part::kOutput);
    host.weights -= moved;
    if (i + 1 == splits.size() && is_tied(card)) moved += card.bytes_in(Part::kEmbedding);
    device.kv = share(kv, splits[i].layers, layers);
    device.compute = llama_graph_bytes(wish);
    if (wish.mmproj && i == 0) {
      moved += wish.mmproj->weight_bytes;
      host.weights -= wish.mmproj->weight_bytes;
      device.compute += vision_graph_bytes(*wish.mmproj);
    }
    device.weights = moved;
  }
  if (resident == layers) {  // the host only looks up embeddings
    host.compute = {product({2, batch_of(wish), card.embd, kFloat})};
  }
  needs.push_back(host);
  return needs;
}

}  // namespace

uint64_t product(std::initializer_list<uint64_t> factors) {
  uint64_t out = 1;
  for (const uint64_t factor : factors) {
    out = checked_mul(out, factor).value_or(factor == 0 ? 0 : UINT64_MAX);
  }
  return out;
}

uint32_t layers_of(const Wish& wish) {
  if (!wish.card) return 0;
  return wish.card->layers + (wish.engine == EngineKind::kWhisper ? wish.card->audio_layers : 0);
}

uint32_t context_of(const Wish& wish) {
  if (!wish.card) return wish.context;
  if (wish.engine == EngineKind::kWhisper) return wish.card->text_context;
  const uint32_t trained = wish.card->context_trained;
  const uint32_t wanted = wish.context == 0 ? kContextDefault : wish.context;
  return trained == 0 ? wanted : std::min(wanted, trained);
}

bool flash_of(const Wish& wish) {
  const CacheType v = wish.cache_v;
  return wish.flash_attention ||
         (v != CacheType::kF32 && v != CacheType::kF16 && v != CacheType::kBf16);
}

bool is_encoder(const Wish& wish) {
  return wish.engine == EngineKind::kLlama && wish.card && wish.card->kv.empty() &&
         wish.card->state_bytes.n == 0;
}

bool is_tied(const ModelCard& card) {
  return card.bytes_in(Part::kOutput).n < card.bytes_in(Part::kEmbedding).n / 4;
}

Wish with_context(Wish wish, uint32_t context) {
  wish.context = context;
  return wish;
}

// Seen in llama.cpp's logs over shapes and batches (T tokens a batch, C cells a sequence, E
// embedding or query width, K key width, F feed-forward width, H heads), exact to 1 % there:
//   without flash attention  4 T (C + max(H C + 5 E + 2 K, 3 F + 3 E + 2 K))
//   with flash attention     2 T C + 4 T max(3 F + 4 E, 6 E + 2 K)         (an upper bound)
// The mask takes the C; logits of one token a sequence are in the second term already.
Bytes llama_graph_bytes(const Wish& wish) {
  const ModelCard& card = *wish.card;
  const uint64_t t = batch_of(wish), c = std::max(context_of(wish), 1U);
  const uint64_t e = query_width(card), k = key_width(card), f = ffn_width(card);
  const Bytes inputs{product({t, 64})};
  if (flash_of(wish)) {
    const Bytes mask{product({2, t, c})};
    const Bytes ffn = Bytes{product({3, f, t, kFloat})} + Bytes{product({4, e, t, kFloat})};
    const Bytes attention = Bytes{product({6, e, t, kFloat})} + Bytes{product({2, k, t, kFloat})};
    return mask + std::max(ffn, attention) + inputs;
  }
  const Bytes mask{product({t, c, kFloat})};
  const Bytes kept{product({2, k, t, kFloat})};
  const Bytes scores{product({card.heads, c, t, kFloat})};
  const Bytes attention = scores + Bytes{product({5, e, t, kFloat})};
  const Bytes ffn = Bytes{product({3, f, t, kFloat})} + Bytes{product({3, e, t, kFloat})};
  return mask + kept + std::max(attention, ffn) + inputs;
}

// The CPU converts the second operand of each product to the first one's type, here F16 at most:
// activations, or without flash attention the scores.
Bytes llama_work_bytes(const Wish& wish) {
  const ModelCard& card = *wish.card;
  const uint64_t t = batch_of(wish), c = std::max(context_of(wish), 1U);
  const uint64_t widest = std::max({query_width(card), ffn_width(card), uint64_t{card.embd}});
  const Bytes activations{product({2, t, widest})};
  if (flash_of(wish)) return activations;
  return std::max(activations, Bytes{product({2, card.heads, c, t})});
}

// One image at the size that the file names; the largest of its three stages. 0.64 MiB were
// logged for 145 patches of width 128, feed-forward 384, 4 heads.
Bytes vision_graph_bytes(const ModelCard& mmproj) {
  if (mmproj.patch_size == 0) return {};
  const uint64_t side = mmproj.image_size / mmproj.patch_size;
  const uint64_t t = side * side + 1, e = mmproj.embd, f = mmproj.ffn;
  const Bytes image{product({3, mmproj.image_size, mmproj.image_size, kFloat})};
  const Bytes columns{product({3, mmproj.patch_size, mmproj.patch_size, t, kFloat})};
  const Bytes attention =
      Bytes{product({mmproj.heads, t, t, kFloat})} + Bytes{product({5 * e, t, kFloat})};
  const Bytes ffn{product({3 * e + 2 * f, t, kFloat})};
  return image + std::max({columns, attention, ffn});
}

// Seen: convolutions 0.50, encoder 0.57, cross attention 0.11, decoder 13.36 MB besides the
// graph's nodes, for 200 frames of width 96 and 64 tokens over 51,864 words; flash attention on.
Bytes whisper_graph_bytes(const ModelCard& card, bool on_accelerator) {
  const uint64_t frames = card.audio_context, s = card.embd, f = card.ffn;
  const Bytes conv = Bytes{product({2, frames, 80 + 120 + s, kFloat})} +
                     Bytes{product({frames, 3 * s / 2 + s, kFloat})};
  const Bytes encode{product({frames, 4 * s + 2 * f, kFloat})};
  const Bytes cross{product({frames, 2 * s, kFloat})};
  const uint64_t tokens = card.text_context;
  const uint64_t rows = on_accelerator ? tokens : std::min(tokens, kWhisperRows);
  const Bytes decode = Bytes{product({rows, card.vocab, kFloat})} +
                       Bytes{product({tokens, 4 * s + 2 * f, kFloat})};
  return conv + encode + cross + decode + Bytes{4 * kWhisperGraphBase.n};
}

Bytes overhead_bytes(const Wish& wish) {
  if (wish.measured_overhead) return *wish.measured_overhead;
  if (wish.engine == EngineKind::kMedia) {
    return wish.declared.value_or(wish.small_media ? kSmallMediaBase : kMediaBase);
  }
  if (!wish.card) return {};
  const ModelCard& card = *wish.card;
  if (wish.engine == EngineKind::kWhisper) {
    return kWhisperBase + Bytes{product({kWhisperTokenBytes, card.vocab})};
  }
  const Bytes metadata = card.file_bytes - card.weight_bytes;
  const Bytes vocabulary = std::max(Bytes{product({kVocabularyFactor, metadata.n})},
                                    Bytes{product({kTokenBytes, card.vocab})});
  const Bytes sampler{product({kSamplerTokenBytes, card.vocab, wish.parallel})};
  Bytes sum = vocabulary + sampler + (is_encoder(wish) ? kEncoderBase : kLlamaBase);
  if (wish.mmproj) sum += kImageBase;
  return sum;
}

std::vector<Need> needs_of(const Wish& wish, const std::string& accelerator, uint32_t resident,
                           Bytes host_budget) {
  const bool whole = !wish.card && wish.accelerated;  // a command has no layers
  if (accelerator.empty() || (resident == 0 && !whole)) return needs_of(wish, {}, host_budget);
  return needs_of(wish, std::vector<Split>{{accelerator, resident}}, host_budget);
}

std::vector<Need> needs_of(const Wish& wish, const std::vector<Split>& splits, Bytes host_budget) {
  if (!wish.card && wish.accelerated && !splits.empty()) {
    const Accelerated& held = *wish.accelerated;
    return {{splits.front().device, held.device, {}, {}, kAcceleratorDevice},
            {kHost, {}, {}, {}, held.host}};
  }
  if (!wish.card) {
    Need need;
    need.device = kHost;
    need.overhead = overhead_bytes(wish);
    if (wish.engine == EngineKind::kCommand) {
      need.overhead = std::max(wish.declared.value_or(host_budget), need.overhead);
    }
    return {need};
  }
  std::vector<Split> used;
  for (const Split& part : splits) {
    if (part.layers > 0) used.push_back(part);
  }
  if (used.empty()) return {host_only(wish)};
  if (wish.engine == EngineKind::kWhisper) return whisper_split(wish, used.front().device);
  return split(wish, used);
}

Touched touched_per_token(const Wish& wish, uint32_t resident) {
  Touched touched;
  if (wish.engine != EngineKind::kLlama || !wish.card || is_encoder(wish)) return touched;
  const ModelCard& card = *wish.card;
  const uint32_t layers = layers_of(wish);
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer) continue;
    double bytes = static_cast<double>((group.bytes - group.expert_bytes).n);
    if (card.experts > 0) {  // only the experts that a token visits
      bytes += static_cast<double>(group.expert_bytes.n) * std::max(card.experts_used, 1U) /
               card.experts;
    }
    const bool moved = group.layer >= 0 && static_cast<uint32_t>(group.layer) + resident >= layers;
    (moved ? touched.accelerator : touched.host) += bytes;
  }
  const Part head = is_tied(card) ? Part::kEmbedding : Part::kOutput;
  (resident > 0 ? touched.accelerator : touched.host) +=
      static_cast<double>(card.bytes_in(head).n);
  const double kv = static_cast<double>(
                        card.kv_bytes(context_of(wish), wish.cache_k, wish.cache_v).n) / 2;
  const double part = layers == 0 ? 0 : static_cast<double>(resident) / layers;
  touched.accelerator += kv * part;
  touched.host += kv * (1 - part);
  return touched;
}

}  // namespace gantry
