// The formulas. Constants were fitted to llama.cpp's and whisper.cpp's own logs and to resident
// sizes seen from outside; each is meant to be an upper bound, and says what it stands for.
#include "plan/need.h"

#include <algorithm>

#include "plan/draw.h"
#include "plan/draw_vision.h"
#include "plan/draw_whisper.h"

namespace gantry {

namespace {

constexpr uint64_t kFloat = 4;  // graphs compute in F32

// PSS of a llama-server that has answered a full batch, with mmap off, less ggml's buffers, the
// CPU's work buffer and the vocabulary; the engine's libraries count in full (bench/predictions):
// 18.0 to 18.7 MiB were seen.
constexpr Bytes kLlamaBase = KiB(18'740);
// The same for an encoder: no chat template, no sampler. 14.4 and 14.5 MiB were seen.
constexpr Bytes kEncoderBase = KiB(14'850);
// gantry-worker speech, beside ggml's buffers, the vocabulary and the sound: 7.9 MiB of resident
// size were seen, 5.1 MiB of proportional.
constexpr Bytes kWhisperBase = KiB(8'704);
// OpenVINO in a speech worker, and for each byte of the encoder at 16 bits what its CPU keeps
// of weights, widened and rearranged, and of activations. Beside the same worker without it 81.5
// MiB, 115.5 and 214.7 were seen for encoders of 1.2, 16.9 and 41.0 MiB: the shipped one and the
// shapes of tiny and base. A device with memory of its own takes less of the host's.
constexpr Bytes kOpenVinoBase = MiB(84);
constexpr uint64_t kOpenVinoQuarters = 13;  // of a byte
// ffmpeg turning a recording into 16 kHz mono: 51 MiB were seen.
constexpr Bytes kMediaBase = MiB(56);
// gantry-decode: 2.6 MiB of proportional and 5.7 MiB of resident size were seen.
constexpr Bytes kSmallMediaBase = MiB(6);
// Reading and scaling images in the server: 5 MiB, and 12 for one of 1920 x 1080, which is there
// twice while it is scaled. 12.3 MiB more were seen for one of that size.
constexpr Bytes kImageBase = MiB(17);
// A vocabulary in memory: strings, hash tables and merges take 6.4 to 7 times their bytes in the
// file; 137 to 152 bytes a token were seen where there are no merges.
constexpr uint64_t kVocabularyFactor = 8;
constexpr uint64_t kTokenBytes = 160;
constexpr uint64_t kWhisperTokenBytes = 200;  // two ordered maps, and rows of probabilities
// Each further piece at once: a thread, its allocator's arena; and its own rows of probabilities,
// logits and what sorts them.
constexpr Bytes kWhisperLane = MiB(1);
constexpr uint64_t kWhisperRowBytes = 40;
constexpr uint64_t kSamplerTokenBytes = 16;   // a candidate and its logit, per sequence
// Rows of logits that a decoder started without a prompt touches: it is fed four tokens, then
// one at a time.
constexpr uint64_t kWhisperRows = 16;

uint64_t query_width(const ModelCard& card) {
  uint64_t head = 0;
  for (const LayerKv& layer : card.kv) head = std::max<uint64_t>(head, layer.k_head);
  return std::max<uint64_t>(card.embd, product({head, card.heads}));
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

// Weights of each layer.
std::vector<Bytes> layer_bytes(const ModelCard& card) {
  std::vector<Bytes> out(card.layers);
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer || group.layer < 0) continue;
    const auto layer = static_cast<uint32_t>(group.layer);
    if (layer < out.size()) out[layer] += group.bytes;
  }
  return out;
}

Bytes sum_of(const std::vector<Bytes>& each, uint32_t first, uint32_t count) {
  Bytes sum;
  for (size_t i = first; i < each.size() && i - first < count; ++i) sum += each[i];
  return sum;
}

Bytes card_kv(const Wish& wish) {
  const ModelCard& card = *wish.card;
  if (wish.engine == EngineKind::kWhisper) {
    const Bytes state =
        card.kv_bytes(card.text_context, CacheType::kF16, CacheType::kF16) + card.state_bytes;
    return {product({state.n, wish.parallel})};
  }
  return layer_kv(wish, 0, card.layers);
}

Bytes weights_of(const Wish& wish) {
  Bytes sum = wish.card->weight_bytes + wish.lora;
  if (wish.mmproj) sum += encoder_weights(*wish.mmproj);
  return sum;
}

// ggml's CPU backend keeps matrices of some types rearranged. An embedding that is the output
// matrix too is there twice then, for rows are looked up in the plain one. Those types have 4.5
// bits a weight: Q4_0, Q4_K, IQ4_NL.
Bytes repacked_twin(const Wish& wish) {
  const ModelCard& card = *wish.card;
  constexpr uint64_t kRows = 8;
  if (!is_tied(card) || is_encoder(wish) || card.vocab % kRows != 0) return {};
  const uint64_t elements = product({card.vocab, card.embd});
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kEmbedding) continue;
    for (const uint64_t size : group.sizes) {
      if (size == elements / 16 * 9) return Bytes{size};
    }
  }
  return {};
}

// Everything in host memory, but the language model's graph.
Need host_base(const Wish& wish) {
  Need need{kHost, weights_of(wish), card_kv(wish), {}, overhead_bytes(wish)};
  if (wish.engine == EngineKind::kWhisper) {
    need.compute = {product({whisper_graph_bytes(*wish.card, false).back().n, wish.parallel})};
    if (wish.measured_overhead) return need;
    need.overhead += {product({whisper_sound_bytes(*wish.card).n, wish.parallel})};
    if (wish.openvino_encoder) need.overhead += openvino_encoder_bytes(*wish.card);
    return need;
  }
  if (!wish.measured_overhead) need.overhead += llama_work_bytes(wish);  // measured with the rest
  if (wish.mmproj) need.compute += vision_graph_bytes(wish);
  return need;
}

// All of whisper's layers are on one accelerator: the first that has any.
std::vector<Need> whisper_split(const Wish& wish, const std::string& accelerator) {
  Need host = host_base(wish);
  const std::vector<Bytes> graphs = whisper_graph_bytes(*wish.card, true);
  const auto of_all = [&wish](Bytes of_one) { return Bytes{product({of_one.n, wish.parallel})}; };
  Need device{accelerator, host.weights, host.kv, of_all(graphs.front()), kAcceleratorDevice};
  host.overhead += kAcceleratorHost;
  host.weights = host.kv = {};
  host.compute = of_all(graphs.back());
  return {device, host};
}

// As llama-server makes its context (common_base_params_to_speculative): like the other's, also
// where that is longer than it was trained for.
Wish draft_of(const Wish& wish) {
  Wish out = wish;
  out.card = wish.draft;
  out.card->context_trained = 0;
  out.context = context_of(wish);
  out.draft.reset();
  out.mmproj.reset();
  out.lora = {};
  out.adapters = 0;
  out.embeddings = false;
  return out;
}

}  // namespace

struct NeedTable::Parts {
  explicit Parts(const Wish& as) : wish(as), drawings(as) {
    if (!wish.card || wish.engine == EngineKind::kWhisper) return;
    const ModelCard& card = *wish.card;
    host = host_base(wish);
    output_rows = output_bytes(wish);
    weights = layer_bytes(card);
    for (uint32_t i = 0; i < card.layers; ++i) kv.push_back(layer_kv(wish, i, 1));
    output = card.bytes_in(Part::kOutput);
    if (is_tied(card) && !is_encoder(wish)) twin = card.bytes_in(Part::kEmbedding);
    for (size_t i = 0; i < weights.size(); ++i) {  // an adapter has as much for each layer
      weights[i] += Bytes{wish.lora.n / weights.size() + (i < wish.lora.n % weights.size())};
    }
    if (wish.draft) draft = std::make_unique<NeedTable>(guessing = draft_of(wish));
  }

  Need host_only() {
    Need need = host;
    need.weights += repacked_twin(wish);
    need.compute += Bytes{drawings.of({}).front()} + output_rows;
    if (draft) add_draft({}, nullptr, &need);
    return need;
  }
  void add_draft(const std::vector<Split>& splits, Need* device, Need* rest);
  std::vector<Need> split(const std::vector<Split>& splits);

  const Wish& wish;
  Drawings drawings;
  Need host;                       // everything in host memory, but the graph
  std::vector<Bytes> weights, kv;  // of each layer
  Bytes output, twin;              // the second copy of a tied embedding
  Bytes output_rows;
  Wish guessing;
  std::unique_ptr<NeedTable> draft;
};

// The draft model is on the first accelerator, or in host memory with all of the other.
void NeedTable::Parts::add_draft(const std::vector<Split>& splits, Need* device, Need* rest) {
  std::vector<Split> whole;
  if (!splits.empty()) whole.push_back({splits.front().device, layers_of(guessing)});
  const std::vector<Need> needs = draft->of(whole, {});
  const auto add = [](const Need& from, Need* to) {
    to->weights += from.weights;
    to->kv += from.kv;
    to->compute += from.compute;
  };
  add(needs.back(), rest);
  // Another vocabulary and a work buffer; the program and the device's runtime are there.
  const Bytes shared = splits.empty() ? kLlamaBase : kLlamaBase + kAcceleratorHost;
  if (!wish.measured_overhead) rest->overhead += needs.back().overhead - shared;
  if (device != nullptr) add(needs.front(), device);
}

// The last layers and the output on accelerators; embedding and the first layers stay. The vision
// encoder is on the first of them.
std::vector<Need> NeedTable::Parts::split(const std::vector<Split>& splits) {
  const uint32_t layers = layers_of(wish);
  Need rest = host;
  const std::vector<uint64_t>& graphs = drawings.of(splits);
  uint32_t resident = 0;
  for (const Split& part : splits) resident += part.layers;
  uint32_t next = layers - std::min(layers, resident);
  rest.kv = sum_of(kv, 0, next);
  rest.compute = Bytes{graphs.back()} + output_rows;
  if (wish.mmproj && wish.encoder_on_cpu) rest.compute += vision_graph_bytes(wish);
  std::vector<Need> needs;
  for (size_t i = 0; i < splits.size(); ++i) {
    Need& device = needs.emplace_back();
    const bool last = i + 1 == splits.size();
    device.device = splits[i].device;
    device.overhead = kAcceleratorDevice;
    rest.overhead += kAcceleratorHost;
    Bytes moved = sum_of(weights, next, splits[i].layers);
    device.kv = sum_of(kv, next, splits[i].layers);
    next += splits[i].layers;
    if (last) moved += output;
    rest.weights -= moved;
    if (last) moved += twin;
    device.compute = Bytes{graphs[i]};
    if (wish.mmproj && !wish.encoder_on_cpu && i == 0) {
      const Bytes encoder = encoder_weights(*wish.mmproj);
      moved += encoder;
      rest.weights -= encoder;
      device.compute += vision_graph_bytes(wish);
    }
    device.weights = moved;
  }
  if (draft) add_draft(splits, &needs.front(), &rest);
  needs.push_back(std::move(rest));
  return needs;
}

uint64_t product(std::initializer_list<uint64_t> factors) {
  uint64_t out = 1;
  for (const uint64_t factor : factors) {
    out = checked_mul(out, factor).value_or(factor == 0 ? 0 : UINT64_MAX);
  }
  return out;
}

Bytes layer_kv(const Wish& wish, uint32_t first, uint32_t count) {
  const ModelCard& card = *wish.card;
  const auto recurs = [](const LayerKv& layer) { return layer.k_width == 0; };
  ModelCard part;
  uint64_t states = 0;
  for (uint32_t i = first; i < first + count && i < card.kv.size(); ++i) {
    part.kv.push_back(card.kv[i]);
    states += recurs(card.kv[i]);
  }
  const auto all = static_cast<uint64_t>(std::ranges::count_if(card.kv, recurs));
  if (card.kv.empty()) {
    states = count;
  }
  const uint64_t whole = card.kv.empty() ? card.layers : std::max<uint64_t>(all, 1);
  CacheShape shape;
  shape.ubatch = std::min(wish.ubatch, std::max(context_of(wish), 1U));
  const Bytes cache = part.kv_bytes(context_of(wish), wish.cache_k, wish.cache_v, shape);
  // Rounded up: where layers without a cache keep no state either, it does not divide by them.
  const uint64_t each = whole == 0 ? 0 : (card.state_bytes.n + whole - 1) / whole;
  return {product({(cache + Bytes{product({each, states})}).n, wish.parallel})};
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

Bytes llama_graph_bytes(const Wish& wish) { return Bytes{draw_llama(wish, {}).bytes.front()}; }

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

uint64_t answers_of(const Wish& wish) {
  const uint64_t all = uint64_t{wish.parallel} * (wish.draft ? 1 + kDraftTokens : 1);
  return std::max<uint64_t>(wish.parallel, std::min<uint64_t>(batch_of(wish), all));
}

// Pinned where the output is on a device. llama_context::output_reserve() has a row of logits for
// each sequence, which llama-server asks for one answer each; of an encoder one for each token of a
// batch, its embedding beside them.
Bytes output_bytes(const Wish& wish) {
  const ModelCard& card = *wish.card;
  const bool whole = is_encoder(wish) || wish.embeddings;
  const uint64_t rows = whole ? std::max(batch_of(wish), wish.parallel) : answers_of(wish);
  return {product({rows, uint64_t{card.vocab} + (whole ? card.embd : 0), kFloat})};
}

Bytes encoder_weights(const ModelCard& mmproj) {
  return mmproj.weight_bytes + mmproj.audio.shared;
}

Bytes vision_graph_bytes(const Wish& wish) {
  const bool flash = flash_of(wish);
  return Bytes{draw_vision(*wish.mmproj, wish.card->embd, flash) +
               draw_audio(*wish.mmproj, wish.card->embd, flash)};
}

std::vector<Bytes> whisper_graph_bytes(const ModelCard& card, bool on_accelerator) {
  const uint64_t rows =
      on_accelerator ? card.text_context : std::min<uint64_t>(card.text_context, kWhisperRows);
  const WhisperGraphs graphs = draw_whisper(card, on_accelerator, rows);
  std::vector<Bytes> out(on_accelerator ? 2 : 1);
  for (const std::vector<uint64_t>& graph : graphs) {
    for (size_t i = 0; i < out.size(); ++i) out[i] += Bytes{graph[i]};
  }
  out.back() += Bytes{graphs.size() * kWhisperNodeBytes};
  return out;
}

// A window of samples as they are in the file, as floats, and with half a minute of silence behind
// them, as log_mel_spectrogram() has it; the spectrogram of all that, and the window's part of it.
Bytes whisper_sound_bytes(const ModelCard& card) {
  constexpr uint64_t kSamples = 320, kStep = 160;  // of a frame of the encoder; of a spectrum
  constexpr uint64_t kSilence = 30 * 16'000;
  const uint64_t window = product({card.audio_context, kSamples}), padded = window + kSilence;
  const Bytes sound{product({window, 2 + kFloat}) + product({padded, kFloat})};
  const Bytes spectrum{product({padded / kStep, card.audio_mels, kFloat}) +
                       product({2, card.audio_context, card.audio_mels, kFloat})};
  // Products convert their second operand, F16 at most, as llama_work_bytes() has it.
  return sound + spectrum + Bytes{product({2, card.audio_context, card.ffn})};
}

Bytes openvino_encoder_bytes(const ModelCard& card) {
  constexpr uint64_t kHalf = 2, kTaps = 3, kMatrices = 12;  // squares of the width in a layer
  const uint64_t layers = product({kMatrices, card.audio_layers, card.embd, card.embd});
  const uint64_t ends = product({kTaps, uint64_t{card.audio_mels} + card.embd, card.embd});
  const uint64_t weights =
      product({kHalf, layers + ends}) + product({card.audio_context, card.embd, kFloat});
  return kOpenVinoBase + Bytes{product({weights, kOpenVinoQuarters}) / 4};
}

Bytes overhead_bytes(const Wish& wish) {
  if (wish.measured_overhead) return *wish.measured_overhead;
  if (wish.engine == EngineKind::kMedia) {
    return wish.declared.value_or(wish.small_media ? kSmallMediaBase : kMediaBase);
  }
  if (wish.engine == EngineKind::kVoice) return wish.declared.value_or(Bytes{});
  if (!wish.card) return {};
  const ModelCard& card = *wish.card;
  if (wish.engine == EngineKind::kWhisper) {
    const uint64_t more = std::max(wish.parallel, 1U) - 1;
    return kWhisperBase + Bytes{product({kWhisperTokenBytes, card.vocab})} +
           Bytes{product({more, kWhisperLane.n + product({kWhisperRowBytes, card.vocab})})};
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
  return NeedTable(wish).of(splits, host_budget);
}

NeedTable::NeedTable(const Wish& wish) : parts_(std::make_unique<Parts>(wish)) {}
NeedTable::~NeedTable() = default;

std::vector<Need> NeedTable::of(const std::vector<Split>& splits, Bytes host_budget) {
  const Wish& wish = parts_->wish;
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
  if (wish.engine == EngineKind::kWhisper) {
    if (used.empty()) return {host_base(wish)};
    return whisper_split(wish, used.front().device);
  }
  if (used.empty()) return {parts_->host_only()};
  return parts_->split(used);
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
