// Dimensions and caches from metadata keys. The rules say which layers keep which cache in
// llama.cpp (ggml 0.25.3); where an architecture is not listed, every layer is taken to keep its
// whole context: more than it needs, never less.
#include "model/geometry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "model/parakeet.h"
#include "model/text.h"

namespace gantry {

namespace {

constexpr uint32_t kArchitectureMax = 64;  // bytes
constexpr uint32_t kFfnMax = 1U << 30;
constexpr uint32_t kMergeMax = 64;
constexpr uint32_t kMelsMax = 1U << 12;
constexpr uint32_t kChannelsMax = 1U << 16;
constexpr uint32_t kStateElementBytes = 4;  // recurrent states are F32

// Layers with a sliding window: all but each `every`-th (0: all; 1: none), counted so that the
// last of a group is the full one, or the first with full_first. A pattern in the file goes before.
struct WindowRule {
  std::string_view architecture;
  uint32_t every;
  uint32_t window = 0;      // where the file has no key; 0: no windows then
  bool full_first = false;
  bool fixed = false;       // `window` holds whatever the key says, unless it says 0
  uint32_t only_layers = 0; // the rule holds for models of this many layers; 0: all
};
constexpr std::array kWindowRules = std::to_array<WindowRule>({
    {"afmoe", 4},
    {"cohere2", 4},
    {"cohere2moe", 4, 0, true},
    {"exaone-moe", 4, 128},
    {"exaone4", 4, 4096, false, false, 64},
    {"gemma2", 2, 4096},
    {"gemma3", 6},
    {"gemma3n", 5},
    {"gemma4", 1},
    {"gpt-oss", 2},
    {"granite_swa", 1},
    {"laguna", 4, 0, true},
    {"lfm2", 0},
    {"llama4", 4, 8192, false, true},
    {"maple", 1},
    {"mellum", 4},
    {"mimo2", 1},
    {"muse-glimmer", 4},
    {"olmo2", 4},
    {"plamo3", 8},
    {"smallthinker", 4, 4096, true, true},
    {"spark2_5", 1},
    {"step35", 1},
});

// Encoders and diffusion models: each pass sees the whole text, nothing is kept.
constexpr std::array kCacheless = std::to_array<std::string_view>(
    {"bert", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llada",
     "llada-moe", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1",
     "wavtokenizer-dec"});

// Every layer keeps a state of fixed size instead of a cache.
constexpr std::array kRecurrent = std::to_array<std::string_view>(
    {"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"});

// Some layers keep a state: those without KV heads.
constexpr std::array kHybrid = std::to_array<std::string_view>(
    {"bailingmoe3", "glm5-next", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2",
     "lfm2moe", "nemotron_h", "nemotron_h_moe", "plamo2"});

// Some layers keep a state: all but each n-th, or as a list in the file says.
constexpr std::array kIntervalHybrid = std::to_array<std::string_view>(
    {"minimax-01", "qwen35", "qwen35moe", "qwen3next", "qwen4exp"});
constexpr uint32_t kFullAttentionInterval = 4;

constexpr uint32_t kGemma3nKvLayers = 20;  // the rest reuse these

template <size_t N>
bool is_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Reads "ARCHITECTURE.suffix" keys. The first fault stays; later reads then give zero.
class Facts {
 public:
  Facts(const Gguf& gguf, std::string prefix) : gguf_(gguf), prefix_(std::move(prefix)) {}

  bool ok() const { return !error_; }
  Error error() const { return *error_; }
  void refuse(Code code, std::string message) {
    refuse(code, std::move(message), "the file is damaged or not a model: fetch it again");
  }
  void refuse(Code code, std::string message, std::string remedy) {
    if (!error_) error_ = Error{code, std::move(message), std::move(remedy)};
  }

  std::optional<uint32_t> number(std::string_view suffix, uint32_t max) {
    const GgufPair* pair = find(suffix);
    if (pair == nullptr) return std::nullopt;
    if (pair->is_array) {
      wrong_type(*pair, "a number");
      return 0;
    }
    return checked(*pair, 0, max);
  }
  uint32_t number_or(std::string_view suffix, uint32_t max, uint32_t otherwise) {
    return number(suffix, max).value_or(otherwise);
  }
  uint32_t need(std::string_view suffix, uint32_t max) {
    const std::optional<uint32_t> found = number(suffix, max);
    if (!found) refuse(Code::kCorrupt, fmt::format("the key {}.{} is missing", prefix_, suffix));
    if (found == 0U) refuse(Code::kCorrupt, fmt::format("{}.{} is 0", prefix_, suffix));
    return found.value_or(0);
  }
  // One number for all, or an array with one for each of the first `needed` layers at least.
  // False where the key is absent.
  bool per_layer(std::string_view suffix, uint32_t max, std::vector<uint32_t>& out,
                 size_t needed) {
    const GgufPair* pair = find(suffix);
    if (pair == nullptr || !ok()) return false;
    if (pair->is_array && pair->count < needed) {
      refuse(Code::kCorrupt, fmt::format("{} at offset {} has {} entries for {} layers",
                                         quoted(pair->key), pair->at, pair->count, needed));
      return false;
    }
    const size_t count = pair->is_array ? std::min<size_t>(pair->count, out.size()) : out.size();
    for (size_t i = 0; i < count && ok(); ++i) {
      out[i] = checked(*pair, pair->is_array ? i : 0, max);
    }
    return true;
  }
  const GgufPair* find(std::string_view suffix) const {
    return gguf_.find(prefix_ + "." + std::string(suffix));
  }

 private:
  uint32_t checked(const GgufPair& pair, uint64_t i, uint32_t max) {
    const std::optional<uint64_t> value = pair.whole(i);
    if (!value) {
      wrong_type(pair, "a number that is not negative");
    } else if (*value > max) {
      refuse(Code::kTooLarge, fmt::format("{} at offset {} is {} (at most {})", quoted(pair.key),
                                          pair.at, *value, max));
    }
    return ok() ? static_cast<uint32_t>(*value) : 0;
  }
  void wrong_type(const GgufPair& pair, const char* wanted) {
    refuse(Code::kCorrupt, fmt::format("{} at offset {} is {}{}, not {}", quoted(pair.key), pair.at,
                                       pair.is_array ? "an array of " : "",
                                       gguf_type_name(pair.type), wanted));
  }

  const Gguf& gguf_;
  std::string prefix_;
  std::optional<Error> error_;
};

Result<std::string> read_architecture(const Gguf& gguf) {
  const char* remedy = "the file is damaged or not a model: fetch it again";
  const GgufPair* pair = gguf.find("general.architecture");
  if (pair == nullptr) {
    return fail(Code::kCorrupt, "the key general.architecture is missing", remedy);
  }
  const std::optional<std::string_view> text = pair->text();
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (!text || text->empty() || text->size() > kArchitectureMax ||
      !std::all_of(text->begin(), text->end(), plain)) {
    return fail(Code::kCorrupt,
                fmt::format("general.architecture at offset {} is {}, no architecture's name",
                            pair->at, text ? quoted(*text) : "no string"),
                remedy);
  }
  return std::string(*text);
}

// Files in GGUF that are not a whole model.
Result<void> check_kind(const Gguf& gguf) {
  const GgufPair* type = gguf.find("general.type");
  const std::string_view kind = type == nullptr ? "model" : type->text().value_or("");
  if (kind != "model" && kind != "mmproj") {
    return fail(Code::kUnsupported,
                fmt::format("the file is of type {}, not a model", quoted(kind)),
                "name the model that it belongs to");
  }
  const GgufPair* parts = gguf.find("split.count");
  if (parts != nullptr && parts->whole().value_or(0) > 1) {
    return fail(Code::kUnsupported,
                fmt::format("the file is one of {} parts of a model", *parts->whole()),
                "join the parts first: llama-gguf-split --merge FIRST_PART OUTPUT");
  }
  if (gguf.tensors.empty()) {
    return fail(Code::kUnsupported, "the file has metadata but no tensors",
                "name a file with weights");
  }
  return {};
}

// Per-layer numbers from which caches follow; index: layer, 0 to layers - 1.
struct Layers {
  explicit Layers(size_t n) : heads(n), heads_kv(n), ffn(n), windowed(n), recurrent(n) {}
  std::vector<uint32_t> heads, heads_kv, ffn, windowed, recurrent;
  uint32_t trunk = 0;  // layers without those that only predict further tokens
  uint32_t window = 0;
};

uint32_t most(const std::vector<uint32_t>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

void find_windows(Facts& facts, const ModelCard& card, Layers& at) {
  const auto rule = std::find_if(
      kWindowRules.begin(), kWindowRules.end(),
      [&](const WindowRule& r) { return r.architecture == card.architecture; });
  if (rule == kWindowRules.end()) return;
  if (rule->only_layers != 0 && rule->only_layers != at.trunk) return;
  at.window = facts.number_or("attention.sliding_window", kContextMax, rule->window);
  if (at.window == 0) return;
  if (rule->fixed) at.window = rule->window;
  uint32_t every = rule->every;
  const GgufPair* pattern = facts.find("attention.sliding_window_pattern");
  if (pattern != nullptr && pattern->is_array) {
    facts.per_layer("attention.sliding_window_pattern", 1, at.windowed, at.trunk);
    return;
  }
  if (pattern != nullptr) {
    every = facts.number_or("attention.sliding_window_pattern", kLayersMax, every);
  }
  for (uint32_t i = 0; i < at.trunk; ++i) {
    at.windowed[i] = every == 0 || i % every != (rule->full_first ? 0 : every - 1);
  }
}

void find_recurrent(Facts& facts, const ModelCard& card, Layers& at) {
  const std::string_view name = card.architecture;
  if (is_in(kRecurrent, name)) std::fill(at.recurrent.begin(), at.recurrent.end(), 1);
  if (is_in(kHybrid, name)) {
    const bool skips_ffn = name.starts_with("nemotron_h");
    for (uint32_t i = 0; i < at.trunk; ++i) {
      at.recurrent[i] = at.heads_kv[i] == 0 && !(skips_ffn && at.ffn[i] != 0);
    }
  }
  if (!is_in(kIntervalHybrid, name)) return;
  if (facts.per_layer("attention.recurrent_layers", 1, at.recurrent, at.trunk)) return;
  const uint32_t every =
      facts.number_or("full_attention_interval", kLayersMax, kFullAttentionInterval);
  for (uint32_t i = 0; i < at.trunk; ++i) {
    at.recurrent[i] = every == 0 || (i + 1) % every != 0;
  }
}

// Layers from this one on reuse the caches of earlier ones.
uint32_t first_shared(Facts& facts, const ModelCard& card, const Layers& at) {
  if (card.architecture == "gemma3n") return std::min(kGemma3nKvLayers, at.trunk);
  if (card.architecture != "gemma4") return at.trunk;
  const uint32_t shared = facts.number_or("attention.shared_kv_layers", kLayersMax, 0);
  return at.trunk - std::min(shared, at.trunk);
}

void find_kv(Facts& facts, ModelCard& card, Layers& at) {
  const std::string_view name = card.architecture;
  if (is_in(kCacheless, name)) return;
  find_windows(facts, card, at);
  const auto first_heads = std::find_if(at.heads.begin(), at.heads.end(),
                                        [](uint32_t heads) { return heads != 0; });
  const uint32_t share = first_heads == at.heads.end() ? 0 : card.embd / *first_heads;
  const bool latent = facts.number_or("attention.key_length_mla", kEmbdMax, 0) != 0 &&
                      facts.number_or("attention.value_length_mla", kEmbdMax, 0) != 0;
  const uint32_t rank = facts.number_or("attention.kv_lora_rank", kEmbdMax, 0);
  const uint32_t rope = facts.number_or("rope.dimension_count", kEmbdMax, 0);
  const uint32_t k_full = facts.number_or("attention.key_length", kEmbdMax,
                                          latent ? rank + rope : share);
  const uint32_t v_full = facts.number_or("attention.value_length", kEmbdMax, share);
  const uint32_t k_window = facts.number_or("attention.key_length_swa", kEmbdMax, k_full);
  const uint32_t v_window = facts.number_or("attention.value_length_swa", kEmbdMax, v_full);
  // Sparse attention keeps one indexer key beside each K.
  const uint32_t indexer = facts.number_or("attention.indexer.key_length", kEmbdMax, 0);
  const uint32_t own = first_shared(facts, card, at);
  card.kv.assign(card.layers, LayerKv{});
  for (uint32_t i = 0; i < own && facts.ok(); ++i) {
    if (at.recurrent[i] != 0 || at.heads_kv[i] == 0) continue;
    LayerKv& layer = card.kv[i];
    layer.k_head = at.windowed[i] != 0 ? k_window : k_full;
    layer.v_head = latent ? 0 : at.windowed[i] != 0 ? v_window : v_full;
    const uint64_t k_width = uint64_t{layer.k_head} * at.heads_kv[i] + indexer;
    const uint64_t v_width = uint64_t{layer.v_head} * at.heads_kv[i];
    if (std::max(k_width, v_width) > kKvWidthMax) {
      facts.refuse(Code::kTooLarge, fmt::format("layer {} keeps {} cache elements a token (at most "
                                                "{})", i, std::max(k_width, v_width), kKvWidthMax));
      return;
    }
    layer.k_width = static_cast<uint32_t>(k_width);
    layer.v_width = static_cast<uint32_t>(v_width);
    layer.window = at.windowed[i] != 0 ? at.window : 0;
  }
}

// Elements of one recurrent layer's states for one sequence: those of the convolution (or token
// shift) and those of the recurrence. Each factor is at most 2^20.
uint64_t state_elements(Facts& facts, const ModelCard& card) {
  const uint64_t embd = card.embd;
  if (const uint64_t size = facts.number_or("wkv.head_size", kHeadsMax, 0); size != 0) {
    return facts.number_or("token_shift_count", 16, 2) * embd + embd * size;
  }
  if (const uint64_t cache = facts.number_or("shortconv.l_cache", kHeadsMax, 0); cache != 0) {
    return embd * (cache - 1);
  }
  const uint64_t kernel = facts.number_or("ssm.conv_kernel", kHeadsMax, 0);
  const uint64_t heads = card.heads;
  if (const uint64_t size = facts.number_or("kda.head_dim", 1 << 12, 0); size != 0) {
    return 3 * (kernel > 0 ? kernel - 1 : 3) * heads * size + size * size * heads;
  }
  if (card.architecture == "minimax-01") {
    const uint64_t size = facts.number_or("attention.key_length", 1 << 12, 0);
    return size * size * heads;
  }
  const uint64_t inner = facts.number_or("ssm.inner_size", kEmbdMax, 0);
  const uint64_t state = facts.number_or("ssm.state_size", kHeadsMax, 0);
  const uint64_t groups = facts.number_or("ssm.group_count", kHeadsMax, 0);
  return (kernel > 0 ? kernel - 1 : 0) * (inner + 2 * groups * state) + state * inner;
}

void find_state(Facts& facts, ModelCard& card, const Layers& at) {
  const bool both = card.architecture == "falcon-h1";  // each layer attends and recurs
  const uint64_t count =
      both ? at.trunk : static_cast<uint64_t>(std::count(at.recurrent.begin(),
                                                          at.recurrent.end(), 1U));
  if (count == 0) return;
  card.state_bytes.n = checked_mul(state_elements(facts, card), count * kStateElementBytes)
                           .value_or(UINT64_MAX);
}

uint32_t find_shared_ffn(Facts& facts, const ModelCard& card) {
  const uint32_t width = facts.number_or("expert_shared_feed_forward_length", kFfnMax, 0);
  if (width != 0) return width;
  const uint64_t shared = facts.number_or("expert_shared_count", kHeadsMax, 0);
  return static_cast<uint32_t>(std::min<uint64_t>(shared * card.expert_ffn, kFfnMax));
}

void find_mixer(Facts& facts, ModelCard& card) {
  const uint32_t short_kernel = facts.number_or("shortconv.l_cache", kHeadsMax, 0);
  card.mixer.kernel = facts.number_or("ssm.conv_kernel", kHeadsMax, short_kernel);
  card.mixer.inner = facts.number_or("ssm.inner_size", kEmbdMax, 0);
  card.mixer.state = facts.number_or("ssm.state_size", kHeadsMax, 0);
  card.mixer.groups = facts.number_or("ssm.group_count", kHeadsMax, 0);
  card.mixer.steps = facts.number_or("ssm.time_step_rank", kEmbdMax, 0);
}

uint32_t find_vocab(const Gguf& gguf, Facts& facts) {
  const GgufPair* tokens = gguf.find("tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->is_array) {
    return static_cast<uint32_t>(std::min<uint64_t>(tokens->count, UINT32_MAX));
  }
  return facts.number_or("vocab_size", UINT32_MAX, 0);
}

Result<void> read_language(const Gguf& gguf, ModelCard& card) {
  Facts facts(gguf, card.architecture);
  card.layers = facts.need("block_count", kLayersMax);
  card.embd = facts.need("embedding_length", kEmbdMax);
  card.context_trained = facts.need("context_length", kContextMax);
  if (!facts.ok()) return fail(facts.error());
  Layers at(card.layers);
  const uint32_t ahead = facts.number_or("nextn_predict_layers", card.layers, 0);
  at.trunk = card.layers - std::min(ahead, card.layers);
  const bool heads = facts.per_layer("attention.head_count", kHeadsMax, at.heads, card.layers);
  if (!heads && !is_in(kRecurrent, card.architecture) && !is_in(kCacheless, card.architecture)) {
    facts.refuse(Code::kCorrupt,
                 fmt::format("the key {}.attention.head_count is missing", card.architecture));
  }
  at.heads_kv = at.heads;
  facts.per_layer("attention.head_count_kv", kHeadsMax, at.heads_kv, card.layers);
  facts.per_layer("feed_forward_length", kFfnMax, at.ffn, card.layers);
  card.heads = most(at.heads);
  card.heads_kv = most(at.heads_kv);
  card.ffn = most(at.ffn);
  card.experts = facts.number_or("expert_count", kHeadsMax, 0);
  std::vector<uint32_t> used(card.layers);
  facts.per_layer("expert_used_count", kHeadsMax, used, card.layers);
  card.experts_used = most(used);
  if (card.experts_used > card.experts) {
    facts.refuse(Code::kCorrupt, fmt::format("{} of {} experts are used", card.experts_used,
                                             card.experts));
  }
  card.expert_ffn = facts.number_or("expert_feed_forward_length", kFfnMax, 0);
  card.shared_ffn = find_shared_ffn(facts, card);
  find_mixer(facts, card);
  card.vocab = find_vocab(gguf, facts);
  find_recurrent(facts, card, at);
  find_kv(facts, card, at);
  find_state(facts, card, at);
  if (!facts.ok()) return fail(facts.error());
  return {};
}

// Some converters leave the width of the blocks out, or swap the names of their matrices.
uint32_t ffn_of_tensors(const Gguf& gguf) {
  for (const GgufTensor& tensor : gguf.tensors) {
    if (tensor.name != "v.blk.0.ffn_up.weight" || tensor.dimensions != 2) continue;
    return static_cast<uint32_t>(
        std::min<uint64_t>(std::max(tensor.shape[0], tensor.shape[1]), kFfnMax));
  }
  return 0;
}

void find_vision(const Gguf& gguf, Facts& facts, ModelCard& card) {
  VisionStyle& style = card.vision;
  for (const char* key : {"clip.vision.projector_type", "clip.projector_type"}) {
    const GgufPair* pair = gguf.find(key);
    if (pair != nullptr && style.projector.empty()) {
      style.projector = clean_text(pair->text().value_or(""));
    }
  }
  style.merge = facts.number_or("spatial_merge_size", kMergeMax, 0);
  if (style.merge == 0) style.merge = facts.number_or("projector.scale_factor", kMergeMax, 0);
  style.full_every = facts.number_or("n_wa_pattern", kLayersMax, 0);
  const bool nemotron = style.projector == "nemotron_v2_vl";
  const auto rows = [](const GgufTensor& tensor) {
    return static_cast<uint32_t>(std::min<uint64_t>(tensor.shape[1], kEmbdMax));
  };
  std::set<uint32_t> deepstack;
  for (const GgufTensor& tensor : gguf.tensors) {
    const std::string_view name = tensor.name;
    if (nemotron && name == "v.class_embd") style.registers = rows(tensor);
    if (nemotron && name == "mm.model.mlp.1.weight") style.inner = rows(tensor);
    if (name == "v.pre_ln.weight") style.norm_before = true;
    if (name == "v.post_ln.weight") style.norm_behind = true;
    constexpr std::string_view kDeep = "v.deepstack.";
    if (!name.starts_with(kDeep)) continue;
    const std::string_view rest = name.substr(kDeep.size());
    uint32_t layer = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    if (error == std::errc{} && layer < card.layers) deepstack.insert(layer);
  }
  style.deepstack.assign(deepstack.begin(), deepstack.end());
  if (card.ffn == 0) card.ffn = ffn_of_tensors(gguf);
}

uint32_t first_of(Facts& facts, std::string_view suffix, uint32_t max) {
  std::vector<uint32_t> first(1);
  facts.per_layer(suffix, max, first, 1);
  return first[0];
}

Result<void> find_audio(const Gguf& gguf, ModelCard& card) {
  for (const char* key : {"clip.audio.projector_type", "clip.projector_type"}) {
    const GgufPair* pair = gguf.find(key);
    if (pair != nullptr && card.audio_projector.empty()) {
      card.audio_projector = clean_text(pair->text().value_or(""));
    }
  }
  Facts facts(gguf, "clip.audio");
  card.audio_mels = facts.number_or("num_mel_bins", kMelsMax, 0);
  card.audio.embd = facts.number_or("embedding_length", kEmbdMax, 0);
  card.audio.heads = first_of(facts, "attention.head_count", kHeadsMax);
  card.audio.ffn = first_of(facts, "feed_forward_length", kFfnMax);
  for (const GgufTensor& tensor : gguf.tensors) {
    const std::string_view name = tensor.name;
    // Looked up by these names for every encoder, whatever it is for.
    if (name == "v.class_embd" || name.starts_with("v.patch_embd.")) {
      card.audio.shared += Bytes{tensor.bytes};
    }
    if (name != "a.conv2d.1.weight" || tensor.dimensions != 4) continue;
    card.audio_channels =
        static_cast<uint32_t>(std::min<uint64_t>(tensor.shape[3], kChannelsMax));
  }
  if (!facts.ok()) return fail(facts.error());
  return card.audio_projector == "parakeet" ? read_parakeet(gguf, card) : Result<void>();
}

// Multimodal projectors: a vision or an audio encoder, or both, or a voice.
Result<void> read_encoder(const Gguf& gguf, ModelCard& card) {
  const bool vision = gguf.find("clip.vision.block_count") != nullptr;
  const bool speaks = !vision && gguf.find("clip.gen.audio.block_count") != nullptr;
  Facts facts(gguf, vision ? "clip.vision" : speaks ? "clip.gen.audio" : "clip.audio");
  card.layers = facts.need("block_count", kLayersMax);
  card.embd = facts.need("embedding_length", kEmbdMax);
  card.heads = card.heads_kv = first_of(facts, "attention.head_count", kHeadsMax);
  card.ffn = first_of(facts, "feed_forward_length", kFfnMax);
  if (vision) {
    card.image_size = facts.number_or("image_size", kEmbdMax, 0);
    card.patch_size = facts.number_or("patch_size", kEmbdMax, 0);
    find_vision(gguf, facts, card);
    Facts audio(gguf, "clip.audio");
    card.audio_layers = audio.number_or("block_count", kLayersMax, 0);
    if (!audio.ok()) return fail(audio.error());
  } else {
    card.audio_layers = card.layers;
  }
  if (card.audio_layers > 0 && !speaks) {
    if (Result<void> found = find_audio(gguf, card); !found) return found;
  }
  if (!facts.ok()) return fail(facts.error());
  return {};
}

}  // namespace

Result<void> read_geometry(const Gguf& gguf, ModelCard& card) {
  const Result<std::string> architecture = read_architecture(gguf);
  if (!architecture) return fail(architecture.error());
  if (const Result<void> kind = check_kind(gguf); !kind) return kind;
  card.architecture = *architecture;
  if (const GgufPair* name = gguf.find("general.name")) {
    card.name = clean_text(name->text().value_or(""));
  }
  card.has_chat_template = gguf.find("tokenizer.chat_template") != nullptr;
  return card.architecture == "clip" ? read_encoder(gguf, card) : read_language(gguf, card);
}

}  // namespace gantry
