// From a wish to a file's layout, and the weights of any piece of it.
#include "model/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "model/card.h"
#include "model/synth_arch.h"
#include "model/synth_blocks.h"
#include "model/synth_vocab.h"
#include "model/tensor_type.h"

namespace gantry {

namespace {

constexpr uint32_t kWidthStep = 256;  // a whole number of blocks of every type

constexpr std::array kShapes = std::to_array<SynthShape>({
    {.name = "7b", .architecture = "llama", .about = "Llama 2 7B", .layers = 32, .embd = 4096,
     .ff = 11008, .heads = 32, .kv_heads = 32, .vocab = 32000, .context = 4096},
    {.name = "8b", .architecture = "llama", .about = "Llama 3 8B", .layers = 32, .embd = 4096,
     .ff = 14336, .heads = 32, .kv_heads = 8, .vocab = 128256, .context = 8192},
    {.name = "13b", .architecture = "llama", .about = "Llama 2 13B", .layers = 40, .embd = 5120,
     .ff = 13824, .heads = 40, .kv_heads = 40, .vocab = 32000, .context = 4096},
    {.name = "tts28", .architecture = "qwen2",
     .about = "backbone of a 28-layer speech model, as wide as Qwen2 1.5B", .layers = 28,
     .embd = 1536, .ff = 8960, .heads = 12, .kv_heads = 2, .vocab = 151936, .context = 32768,
     .tied = true},
    {.name = "tts28-7b", .architecture = "qwen2",
     .about = "backbone of a 28-layer speech model, as wide as Qwen2 7B", .layers = 28,
     .embd = 3584, .ff = 18944, .heads = 28, .kv_heads = 4, .vocab = 152064, .context = 32768},
    {.name = "30b-a3b", .architecture = "qwen3moe", .about = "Qwen3 30B-A3B, 8 of 128 experts",
     .layers = 48, .embd = 2048, .ff = 768, .heads = 32, .kv_heads = 4, .head_size = 128,
     .experts = 128, .experts_used = 8, .vocab = 151936, .context = 32768},
    {.name = "llama", .architecture = "llama", .about = "small"},
    {.name = "mixtral", .architecture = "llama", .about = "small, 2 of 8 experts", .experts = 8,
     .experts_used = 2},
    {.name = "qwen2", .architecture = "qwen2", .about = "small, output tied", .tied = true},
    {.name = "qwen3", .architecture = "qwen3", .about = "small, heads wider than embd / heads",
     .head_size = 128},
    {.name = "qwen3moe", .architecture = "qwen3moe", .about = "small, 2 of 8 experts", .ff = 256,
     .head_size = 128, .experts = 8, .experts_used = 2},
    {.name = "gemma", .architecture = "gemma3", .about = "small, gemma3, 5 of 6 layers windowed",
     .layers = 6, .head_size = 128, .tied = true},
    {.name = "gemma2", .architecture = "gemma2", .about = "small, logits capped", .head_size = 128,
     .tied = true},
    {.name = "phi", .architecture = "phi3", .about = "small, phi3: q, k, v in one matrix"},
    {.name = "phi2", .architecture = "phi2", .about = "small, layer norms and biases"},
    {.name = "granite", .architecture = "granite", .about = "small, scaled residuals"},
    {.name = "mamba", .architecture = "mamba", .about = "small, state-space",
     .heads = 0, .kv_heads = 0},
    {.name = "mamba2", .architecture = "mamba2", .about = "small, state-space with heads",
     .heads = 0, .kv_heads = 0},
    {.name = "jamba", .architecture = "jamba", .about = "small, mamba and attention"},
    {.name = "granitehybrid", .architecture = "granitehybrid",
     .about = "small, mamba2 and attention"},
    {.name = "lfm2", .architecture = "lfm2", .about = "small, short convolutions and attention"},
    {.name = "bert", .architecture = "bert", .about = "small encoder for embeddings",
     .kv_heads = 4, .context = 512},
});

std::string names_of_shapes() {
  std::string names;
  for (const SynthShape& shape : kShapes) {
    names += (names.empty() ? "" : ", ") + std::string(shape.name);
  }
  return names;
}

// The largest number up to `wanted` that divides `whole`; 1 at least.
uint32_t divisor_up_to(uint32_t whole, uint32_t wanted) {
  for (uint32_t n = std::min(wanted, whole); n > 1; --n) {
    if (whole % n == 0) return n;
  }
  return 1;
}

uint32_t scaled_width(uint32_t width, double scale) {
  const auto steps = static_cast<uint32_t>(std::lround(width * scale / kWidthStep));
  return std::max(1U, steps) * kWidthStep;
}

// What follows from a new embedding width where nothing else is said: the heads keep their size.
void follow_width(const SynthShape& was, SynthShape* size) {
  if (was.heads == 0) return;
  const uint32_t head = was.head_size != 0 ? was.head_size : was.embd / was.heads;
  const double ratio = static_cast<double>(size->embd) / was.embd;
  size->heads = was.head_size != 0
                    ? std::max(1U, static_cast<uint32_t>(std::lround(was.heads * ratio)))
                    : std::max(1U, size->embd / head);
  size->kv_heads = divisor_up_to(
      size->heads, std::max(1U, static_cast<uint32_t>(std::lround(was.kv_heads * ratio))));
}

SynthShape sized(const SynthShape& shape, const SynthWish& wish) {
  SynthShape size = shape;
  size.embd = wish.embd.value_or(wish.scale == 1 ? shape.embd
                                                 : scaled_width(shape.embd, wish.scale));
  size.ff = wish.ff.value_or(wish.scale == 1 ? shape.ff : scaled_width(shape.ff, wish.scale));
  if (size.embd != shape.embd) follow_width(shape, &size);
  if (wish.heads) {
    size.heads = *wish.heads;
    size.kv_heads = divisor_up_to(size.heads, size.kv_heads);
  }
  size.layers = wish.layers.value_or(size.layers);
  size.kv_heads = wish.kv_heads.value_or(size.kv_heads);
  size.head_size = wish.head_size.value_or(size.head_size);
  size.experts = wish.experts.value_or(size.experts);
  size.experts_used = wish.experts_used.value_or(std::min(size.experts_used, size.experts));
  size.vocab = wish.vocab.value_or(size.vocab);
  size.context = wish.context.value_or(size.context);
  size.tied = size.tied || wish.tied;
  return size;
}

Result<void> check_range(const char* flag, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return {};
  return fail(value > most ? Code::kTooLarge : Code::kUsage,
              fmt::format("{} is {}", flag, value),
              fmt::format("use {} to {}", least, most));
}

Result<void> check_ranges(const SynthShape& size) {
  const bool attends = has_attention(size.architecture);
  const uint64_t least_heads = attends ? 1 : 0;
  const uint64_t most_heads = attends ? kSynthHeadsMax : 0;
  struct Range {
    const char* flag;
    uint64_t value, least, most;
  };
  const std::array ranges = std::to_array<Range>({
      {"--layers", size.layers, 1, kLayersMax},
      {"--embd", size.embd, 1, kSynthWidthMax},
      {"--ff", size.ff, 1, kSynthWidthMax},
      {"--heads", size.heads, least_heads, most_heads},
      {"--kv-heads", size.kv_heads, least_heads, most_heads},
      {"--head-size", size.head_size, 0, kSynthWidthMax},
      {"--experts", size.experts, 0, kSynthExpertsMax},
      {"--vocab", size.vocab, kSynthVocabMin, kSynthVocabMax},
      {"--context", size.context, 1, kContextMax},
  });
  for (const Range& range : ranges) {
    Result<void> done = check_range(range.flag, range.value, range.least, range.most);
    if (!done) return done;
  }
  return {};
}

Result<void> check_experts(const SynthShape& size) {
  const std::string_view name = size.architecture;
  if (name == "qwen3moe" && size.experts == 0) {
    return fail(Code::kUsage, "qwen3moe has experts", "give --experts, or use the shape qwen3");
  }
  if (size.experts > 0 && name != "llama" && name != "qwen3moe") {
    return fail(Code::kUsage, fmt::format("{} has no experts", size.name),
                "use mixtral or qwen3moe");
  }
  if (size.experts_used > size.experts || (size.experts > 0 && size.experts_used == 0)) {
    return fail(Code::kUsage,
                fmt::format("{} of {} experts cannot be used", size.experts_used, size.experts),
                "--experts-used is from 1 to --experts");
  }
  return {};
}

// Also sets the head size where it follows from the rest.
Result<void> check_heads(SynthShape* size) {
  if (size->heads == 0) return {};
  const std::string_view name = size->architecture;
  if (size->head_size == 0 && size->embd % size->heads != 0) {
    return fail(Code::kUsage,
                fmt::format("--embd {} is not a multiple of {} heads", size->embd, size->heads),
                "choose --heads that divides --embd");
  }
  if (size->head_size == 0) size->head_size = size->embd / size->heads;
  if (size->heads % size->kv_heads != 0) {
    return fail(Code::kUsage,
                fmt::format("{} heads cannot share {} KV heads", size->heads, size->kv_heads),
                "choose --kv-heads that divides --heads");
  }
  if (size->head_size % 2 != 0 || (name == "phi2" && size->head_size < 4)) {
    return fail(Code::kUsage, fmt::format("a head of {} cannot be rotated", size->head_size),
                "heads have an even size: --embd / --heads, or --head-size");
  }
  const bool free_size = name == "llama" || name.starts_with("qwen3") ||
                         name.starts_with("gemma") || name.starts_with("granite");
  if (!free_size && size->head_size * size->heads != size->embd) {
    return fail(Code::kUsage,
                fmt::format("{}'s {} heads of {} are not --embd {}", size->name, size->heads,
                            size->head_size, size->embd),
                "leave --head-size out");
  }
  return {};
}

Result<void> check_blocks(const SynthShape& size, const SynthQuant& quant) {
  const uint32_t block = std::max(tensor_type(quant.type)->block, tensor_type(quant.more)->block);
  const uint32_t q = size.heads * size.head_size;
  for (const auto& [flag, width] : {std::pair{"--embd", size.embd}, {"--ff", size.ff},
                                    {"--heads x head size", q}}) {
    if (width % block == 0) continue;
    return fail(Code::kUsage,
                fmt::format("{} {} is no whole number of {} blocks of {}", flag, width, quant.name,
                            block),
                fmt::format("use a multiple of {}, or another --quant", block));
  }
  if ((size.architecture == "mamba2" || size.architecture == "granitehybrid") &&
      size.embd % 32 != 0) {
    return fail(Code::kUsage, fmt::format("--embd {} makes no heads of 64", size.embd),
                "use a multiple of 32");
  }
  return {};
}

void add_tokenizer(const SynthShape& size, GgufHead* head) {
  const SynthVocab vocab = synth_vocab(size.vocab);
  const bool encoder = is_encoder(size.architecture);
  head->set("tokenizer.ggml.model", "gpt2");
  head->set("tokenizer.ggml.pre", encoder ? "roberta-bpe" : "qwen2");
  head->set("tokenizer.ggml.tokens", vocab.tokens);
  head->set("tokenizer.ggml.token_type", vocab.types);
  head->set("tokenizer.ggml.merges", vocab.merges);
  head->set("tokenizer.ggml.bos_token_id", uint32_t{kSynthBos});
  head->set("tokenizer.ggml.eos_token_id", uint32_t{kSynthEos});
  head->set("tokenizer.ggml.padding_token_id", uint32_t{kSynthPad});
  head->set("tokenizer.ggml.add_bos_token", true);
  if (encoder) {
    head->set("tokenizer.ggml.seperator_token_id", uint32_t{kSynthEos});  // spelt so
  } else {
    head->set("tokenizer.chat_template", synth_chat_template());
  }
}

uint64_t hash_of(std::string_view text) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return hash;
}

double uniform(Rng& rng) { return static_cast<double>(rng.next() >> 11) * 0x1p-53; }

float special_value(const SynthTensor& tensor, uint64_t element, Rng& rng) {
  switch (tensor.fill) {
    case SynthFill::kOnes:
      return static_cast<float>(1 + tensor.spread * (2 * uniform(rng) - 1));
    case SynthFill::kDecay:
      return -static_cast<float>(element % tensor.shape[0] + 1);
    case SynthFill::kHeadDecay:
      return static_cast<float>(-1 - 15 * uniform(rng));
    case SynthFill::kTimeStep: {
      const double step = std::exp(std::log(0.001) + uniform(rng) * std::log(100.0));
      return static_cast<float>(std::log(std::expm1(step)));
    }
    case SynthFill::kNormal:
      break;
  }
  return 0;
}

uint64_t piece_bytes(const SynthTensor& tensor) {
  const uint64_t block = tensor_type(tensor.type)->bytes;
  return kSynthPieceBytes / block * block;
}

// Zeros where the first rows of the tensor overlap this piece.
void clear_rows(const SynthTensor& tensor, uint64_t from, std::span<std::byte> out) {
  const TensorType& type = *tensor_type(tensor.type);
  const uint64_t end = tensor.zero_rows * (tensor.shape[0] / type.block * type.bytes);
  if (from < end) std::memset(out.data(), 0, std::min<uint64_t>(end - from, out.size()));
}

}  // namespace

std::span<const SynthShape> synth_shapes() { return kShapes; }

Result<SynthModel> synth_model(const SynthWish& wish) {
  const auto* shape = std::ranges::find(kShapes, wish.shape, &SynthShape::name);
  if (shape == kShapes.end()) {
    return fail(Code::kUsage, "no shape '" + wish.shape + "'", "use one of " + names_of_shapes());
  }
  const SynthQuant* quant = synth_quant(wish.quant);
  if (quant == nullptr) {
    std::string names;
    for (const std::string_view name : synth_quants()) names += " " + std::string(name);
    return fail(Code::kUsage, "no --quant '" + wish.quant + "'", "use one of" + names);
  }
  if (!(wish.scale >= kSynthScaleMin && wish.scale <= kSynthScaleMax)) {
    return fail(Code::kUsage, fmt::format("--scale is {}", wish.scale),
                fmt::format("use {} to {}", kSynthScaleMin, kSynthScaleMax));
  }
  SynthShape size = sized(*shape, wish);
  if (Result<void> done = check_ranges(size); !done) return fail(done.error());
  if (Result<void> done = check_experts(size); !done) return fail(done.error());
  if (Result<void> done = check_heads(&size); !done) return fail(done.error());
  if (Result<void> done = check_blocks(size, *quant); !done) return fail(done.error());

  SynthDraft draft(size, *quant);
  draft.head.general(size.architecture, "model", "synth-" + wish.shape, quant->ftype);
  if (!draft_architecture(&draft)) {
    return fail(Code::kInternal, "no rules for " + std::string(size.architecture));
  }
  add_tokenizer(size, &draft.head);
  SynthModel model{.name = wish.shape, .architecture = std::string(size.architecture),
                   .quant = wish.quant, .head = {}, .tensors = {}, .layers = size.layers,
                   .seed = wish.seed};
  draft.head.finish(std::move(draft.tensors), &model);
  return model;
}

uint64_t synth_pieces(const SynthTensor& tensor) {
  const uint64_t piece = piece_bytes(tensor);
  return (tensor.bytes + piece - 1) / piece;
}

SynthPiece synth_piece(const SynthTensor& tensor, uint64_t piece) {
  const uint64_t from = piece * piece_bytes(tensor);
  return {tensor.offset + from, std::min(piece_bytes(tensor), tensor.bytes - from)};
}

void synth_fill(const SynthTensor& tensor, uint64_t seed, uint64_t piece,
                std::span<std::byte> out) {
  Rng rng(Rng(seed ^ hash_of(tensor.name)).next() + piece * 0xd1342543de82ef95ULL);
  const uint64_t from = piece * piece_bytes(tensor);
  if (tensor.fill == SynthFill::kNormal) {
    RandomBlocks(tensor.type, tensor.spread).fill(rng, out);
  } else {
    for (uint64_t at = 0; at < out.size(); at += sizeof(float)) {
      const float value = special_value(tensor, (from + at) / sizeof(float), rng);
      std::memcpy(out.data() + at, &value, sizeof(float));
    }
  }
  clear_rows(tensor, from, out);
}

}  // namespace gantry
