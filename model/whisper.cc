// The whisper parser. What tensors a model has, and of which shape, is one table.
#include "model/whisper.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/limits.h"
#include "model/reader.h"
#include "model/tensor_type.h"
#include "model/text.h"

namespace gantry {

namespace {

constexpr uint32_t kQuantisationFactor = 1'000;  // ftype = version * 1000 + kind
constexpr uint32_t kQuantisationVersion = 2;     // the block layouts since May 2023
constexpr uint32_t kTypeF32 = 0;
constexpr uint32_t kTypeF16 = 1;

enum class Dim { kOne, kThree, kMels, kState, kState4, kAudioContext, kTextContext, kVocab };
enum class Kind { kPlain, kConvolution, kWeight };  // F32; F32 or F16; the file's type

struct Row {
  std::string_view name;  // without "encoder.blocks.N." or "decoder.blocks.N."
  Kind kind;
  std::array<Dim, 3> shape;
};

using enum Dim;
using enum Kind;

constexpr std::array<Row, 7> kEncoder = {{
    {"positional_embedding", kPlain, {kState, kAudioContext, kOne}},
    {"conv1.weight", kConvolution, {kThree, kMels, kState}},
    {"conv1.bias", kPlain, {kOne, kState, kOne}},
    {"conv2.weight", kConvolution, {kThree, kState, kState}},
    {"conv2.bias", kPlain, {kOne, kState, kOne}},
    {"ln_post.weight", kPlain, {kState, kOne, kOne}},
    {"ln_post.bias", kPlain, {kState, kOne, kOne}},
}};

constexpr std::array<Row, 4> kDecoder = {{
    {"positional_embedding", kPlain, {kState, kTextContext, kOne}},
    {"token_embedding.weight", kWeight, {kState, kVocab, kOne}},
    {"ln.weight", kPlain, {kState, kOne, kOne}},
    {"ln.bias", kPlain, {kState, kOne, kOne}},
}};

// An encoder block has the first 15, a decoder block all.
constexpr size_t kEncoderBlock = 15;
constexpr std::array<Row, 24> kBlock = {{
    {"mlp_ln.weight", kPlain, {kState, kOne, kOne}},
    {"mlp_ln.bias", kPlain, {kState, kOne, kOne}},
    {"mlp.0.weight", kWeight, {kState, kState4, kOne}},
    {"mlp.0.bias", kPlain, {kState4, kOne, kOne}},
    {"mlp.2.weight", kWeight, {kState4, kState, kOne}},
    {"mlp.2.bias", kPlain, {kState, kOne, kOne}},
    {"attn_ln.weight", kPlain, {kState, kOne, kOne}},
    {"attn_ln.bias", kPlain, {kState, kOne, kOne}},
    {"attn.query.weight", kWeight, {kState, kState, kOne}},
    {"attn.query.bias", kPlain, {kState, kOne, kOne}},
    {"attn.key.weight", kWeight, {kState, kState, kOne}},
    {"attn.value.weight", kWeight, {kState, kState, kOne}},
    {"attn.value.bias", kPlain, {kState, kOne, kOne}},
    {"attn.out.weight", kWeight, {kState, kState, kOne}},
    {"attn.out.bias", kPlain, {kState, kOne, kOne}},
    {"cross_attn_ln.weight", kPlain, {kState, kOne, kOne}},
    {"cross_attn_ln.bias", kPlain, {kState, kOne, kOne}},
    {"cross_attn.query.weight", kWeight, {kState, kState, kOne}},
    {"cross_attn.query.bias", kPlain, {kState, kOne, kOne}},
    {"cross_attn.key.weight", kWeight, {kState, kState, kOne}},
    {"cross_attn.value.weight", kWeight, {kState, kState, kOne}},
    {"cross_attn.value.bias", kPlain, {kState, kOne, kOne}},
    {"cross_attn.out.weight", kWeight, {kState, kState, kOne}},
    {"cross_attn.out.bias", kPlain, {kState, kOne, kOne}},
}};

// A tensor's place in the architecture: its row, and a number of its own for "seen twice".
struct Slot {
  const Row* row;
  size_t number;
};

template <size_t N>
const Row* find_row(const std::array<Row, N>& rows, size_t count, std::string_view name) {
  const auto end = rows.begin() + static_cast<std::ptrdiff_t>(count);
  const auto found = std::find_if(rows.begin(), end, [&](const Row& r) { return r.name == name; });
  return found == end ? nullptr : &*found;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "12.rest" -> 12, text becomes "rest". Leading zeros and signs are no number.
std::optional<uint32_t> take_index(std::string_view& text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto digits = static_cast<size_t>(end - text.data());
  if (error != std::errc() || digits == text.size() || *end != '.') return std::nullopt;
  if (digits > 1 && text[0] == '0') return std::nullopt;
  text.remove_prefix(digits + 1);
  return value;
}

size_t tensor_count(const WhisperShape& s) {
  return kEncoder.size() + kDecoder.size() + s.audio_layers * kEncoderBlock +
         s.text_layers * kBlock.size();
}

std::optional<Slot> find_slot(const WhisperShape& s, std::string_view name) {
  const bool encoder = take_prefix(name, "encoder.");
  if (!encoder && !take_prefix(name, "decoder.")) return std::nullopt;
  if (!take_prefix(name, "blocks.")) {
    const Row* row = encoder ? find_row(kEncoder, kEncoder.size(), name)
                             : find_row(kDecoder, kDecoder.size(), name);
    if (row == nullptr) return std::nullopt;
    return Slot{row, encoder ? static_cast<size_t>(row - kEncoder.data())
                             : kEncoder.size() + static_cast<size_t>(row - kDecoder.data())};
  }
  const std::optional<uint32_t> block = take_index(name);
  if (!block || *block >= (encoder ? s.audio_layers : s.text_layers)) return std::nullopt;
  const size_t rows = encoder ? kEncoderBlock : kBlock.size();
  const Row* row = find_row(kBlock, rows, name);
  if (row == nullptr) return std::nullopt;
  const size_t base = kEncoder.size() + kDecoder.size() +
                      (encoder ? 0 : s.audio_layers * kEncoderBlock);
  return Slot{row, base + *block * rows + static_cast<size_t>(row - kBlock.data())};
}

uint64_t dimension(const WhisperShape& s, Dim dim) {
  switch (dim) {
    case kOne: return 1;
    case kThree: return 3;
    case kMels: return s.mels;
    case kState: return s.audio_state;
    case kState4: return uint64_t{4} * s.audio_state;
    case kAudioContext: return s.audio_context;
    case kTextContext: return s.text_context;
    case kVocab: return s.vocab;
  }
  return 0;
}

uint32_t type_of(Kind kind, uint32_t weight_type) {
  if (kind == kPlain || weight_type == kTypeF32) return kTypeF32;
  return kind == kConvolution ? kTypeF16 : weight_type;
}

// Rows of one part of the model, with its names.
template <size_t N>
void add_rows(const WhisperShape& s, const std::array<Row, N>& rows, size_t count,
              const std::string& prefix, uint32_t weight_type, std::deque<std::string>* names,
              std::vector<WhisperTensor>* out) {
  for (size_t i = 0; i < count; ++i) {
    const Row& row = rows[i];
    WhisperTensor tensor;
    tensor.name = names->emplace_back(prefix + std::string(row.name));
    tensor.type = type_of(row.kind, weight_type);
    tensor.elements = 1;
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      tensor.shape[d] = dimension(s, row.shape[d]);
      tensor.elements *= tensor.shape[d];
    }
    tensor.bytes = tensor_bytes(*tensor_type(tensor.type), tensor.elements).value_or(UINT64_MAX);
    out->push_back(tensor);
  }
}

class Parser {
 public:
  explicit Parser(std::span<const std::byte> file) : in_(file, kModelMetadataMax) {}

  Result<WhisperFile> run() {
    read_shape();
    read_filters();
    read_tokens();
    read_tensors();
    if (!in_.ok()) return fail(in_.error());
    return std::move(out_);
  }

 private:
  uint32_t read_whole(const char* what, uint32_t min, uint32_t max);
  void read_shape();
  void read_weight_type();
  void read_filters();
  void read_tokens();
  void read_tensors();
  void read_tensor(std::vector<bool>& seen);
  void check_slot(const WhisperTensor& tensor, const Slot& slot, std::vector<bool>& seen);
  void read_data(WhisperTensor& tensor);

  Reader in_;
  WhisperFile out_;
};

uint32_t Parser::read_whole(const char* what, uint32_t min, uint32_t max) {
  const uint64_t at = in_.at();
  const auto value = in_.number<int32_t>({what});
  if (!in_.ok()) return 0;
  if (value < static_cast<int32_t>(min)) {
    in_.refuse(Code::kCorrupt, fmt::format("{} at offset {} is {}", what, at, value));
  } else if (value > static_cast<int32_t>(max)) {
    in_.refuse(Code::kTooLarge, fmt::format("{} at offset {} is {} (at most {})", what, at, value,
                                            max));
  }
  return in_.ok() ? static_cast<uint32_t>(value) : 0;
}

void Parser::read_shape() {
  if (in_.number<uint32_t>({"the magic"}) != kWhisperMagic && in_.ok()) {
    in_.refuse(Code::kCorrupt, "the magic at offset 0 is not whisper's");
  }
  WhisperShape& s = out_.shape;
  s.vocab = read_whole("n_vocab", 1, kWhisperVocabMax);
  s.audio_context = read_whole("n_audio_ctx", 1, kWhisperContextMax);
  s.audio_state = read_whole("n_audio_state", 1, kWhisperStateMax);
  s.audio_heads = read_whole("n_audio_head", 1, kWhisperHeadsMax);
  s.audio_layers = read_whole("n_audio_layer", 1, kWhisperLayersMax);
  s.text_context = read_whole("n_text_ctx", 1, kWhisperContextMax);
  s.text_state = read_whole("n_text_state", 1, kWhisperStateMax);
  s.text_heads = read_whole("n_text_head", 1, kWhisperHeadsMax);
  s.text_layers = read_whole("n_text_layer", 1, kWhisperLayersMax);
  s.mels = read_whole("n_mels", 1, kWhisperMelsMax);
  if (!in_.ok()) return;
  if (s.audio_state != s.text_state) {
    in_.refuse(Code::kUnsupported, fmt::format("n_audio_state {} and n_text_state {} differ",
                                               s.audio_state, s.text_state));
  } else if (s.audio_state % s.audio_heads != 0 || s.text_state % s.text_heads != 0) {
    in_.refuse(Code::kCorrupt, fmt::format("a state of {} does not divide into {} audio and {} "
                                           "text heads", s.audio_state, s.audio_heads,
                                           s.text_heads));
  }
  read_weight_type();
}

void Parser::read_weight_type() {
  const uint64_t at = in_.at();
  const auto ftype = in_.number<int32_t>({"ftype"});
  if (!in_.ok()) return;
  const uint32_t value = static_cast<uint32_t>(std::max(ftype, 0));
  const std::optional<uint32_t> type = tensor_type_of_ftype(value % kQuantisationFactor);
  if (ftype < 0 || !type) {
    in_.refuse(Code::kUnsupported, fmt::format("ftype at offset {} is {}", at, ftype));
    return;
  }
  const uint32_t version = value / kQuantisationFactor;
  const bool quantised = tensor_type(*type)->block > 1;
  if (version > kQuantisationVersion || (quantised && version != kQuantisationVersion)) {
    in_.refuse(Code::kUnsupported, fmt::format("ftype {} at offset {} is of quantisation version "
                                               "{} (known: {})", ftype, at, version,
                                               kQuantisationVersion));
  }
  out_.weight_type = *type;
}

void Parser::read_filters() {
  const uint64_t at = in_.at();
  const uint32_t mels = read_whole("the filters' mel count", 1, kWhisperMelsMax);
  const uint32_t bins = read_whole("the filters' bins", 1, kWhisperBinsMax);
  if (in_.ok() && mels != out_.shape.mels) {
    in_.refuse(Code::kCorrupt, fmt::format("the filters at offset {} are for {} mels, the model "
                                           "has {}", at, mels, out_.shape.mels));
  }
  in_.view(uint64_t{mels} * bins * sizeof(float), {"the mel filters"});
}

void Parser::read_tokens() {
  const uint64_t at = in_.at();
  out_.tokens = read_whole("the token count", 1, kWhisperVocabMax);
  if (in_.ok() && out_.tokens > out_.shape.vocab) {
    in_.refuse(Code::kCorrupt, fmt::format("the token count at offset {} is {}, over n_vocab {}",
                                           at, out_.tokens, out_.shape.vocab));
  }
  for (uint32_t i = 0; i < out_.tokens && in_.ok(); ++i) {
    const uint64_t token_at = in_.at();
    const auto length = in_.number<uint32_t>({"the length of token", i});
    if (length > kWhisperTokenMax && length <= in_.left()) {
      in_.refuse(Code::kTooLarge, fmt::format("token #{} at offset {} has {} bytes (at most {})",
                                              i, token_at, length, kWhisperTokenMax));
    }
    in_.view(length, {"token", i});
  }
}

void Parser::read_tensors() {
  if (!in_.ok()) return;
  const size_t expected = tensor_count(out_.shape);  // at most 512 * 39 + 11
  std::vector<bool> seen(expected, false);
  out_.tensors.reserve(expected);
  while (in_.ok() && in_.left() > 0) read_tensor(seen);
  if (in_.ok() && out_.tensors.size() != expected) {
    in_.refuse(Code::kCorrupt, fmt::format("the file ends at offset {} after {} of {} tensors",
                                           in_.at(), out_.tensors.size(), expected));
  }
}

void Parser::read_tensor(std::vector<bool>& seen) {
  const uint64_t index = out_.tensors.size();
  const uint64_t at = in_.at();
  WhisperTensor tensor;
  const auto dimensions = in_.number<int32_t>({"the dimension count of tensor", index});
  const auto length = in_.number<int32_t>({"the name length of tensor", index});
  tensor.type = in_.number<uint32_t>({"the type of tensor", index});
  if (in_.ok() && (dimensions < 1 || dimensions > 3)) {
    in_.refuse(Code::kCorrupt, fmt::format("tensor #{} at offset {} has {} dimensions (1 to 3)",
                                           index, at, dimensions));
  } else if (in_.ok() && (length < 1 || length > static_cast<int32_t>(kWhisperTensorNameMax))) {
    in_.refuse(Code::kCorrupt, fmt::format("the name of tensor #{} at offset {} has {} bytes (1 "
                                           "to {})", index, at + 4, length,
                                           kWhisperTensorNameMax));
  }
  tensor.shape.fill(1);
  for (size_t d = 0; in_.ok() && d < static_cast<size_t>(dimensions); ++d) {
    const auto size = in_.number<int32_t>({"a dimension of tensor", index});
    if (in_.ok() && size < 1) {
      in_.refuse(Code::kCorrupt, fmt::format("dimension {} of tensor #{} at offset {} is {}", d,
                                             index, in_.at() - 4, size));
    }
    tensor.shape[d] = static_cast<uint64_t>(size);
  }
  tensor.name = in_.text(static_cast<uint64_t>(length), {"the name of tensor", index});
  if (!in_.ok()) return;
  const std::optional<Slot> slot = find_slot(out_.shape, tensor.name);
  if (!slot) {
    in_.refuse(Code::kCorrupt, fmt::format("tensor #{} at offset {} is {}, which this model does "
                                           "not have", index, at, quoted(tensor.name)));
    return;
  }
  check_slot(tensor, *slot, seen);
  read_data(tensor);
}

void Parser::check_slot(const WhisperTensor& tensor, const Slot& slot, std::vector<bool>& seen) {
  const std::array<Dim, 3>& want = slot.row->shape;
  for (size_t d = 0; d < want.size(); ++d) {
    const uint64_t size = dimension(out_.shape, want[d]);
    if (tensor.shape[d] == size) continue;
    in_.refuse(Code::kCorrupt, fmt::format("dimension {} of tensor {} before offset {} is {} "
                                           "(expected {})", d, quoted(tensor.name), in_.at(),
                                           tensor.shape[d], size));
    return;
  }
  const uint32_t type = type_of(slot.row->kind, out_.weight_type);
  if (tensor.type != type) {
    in_.refuse(Code::kCorrupt, fmt::format("tensor {} before offset {} is of type {} (expected "
                                           "{})", quoted(tensor.name), in_.at(), tensor.type,
                                           tensor_type(type)->name));
  } else if (seen[slot.number]) {
    in_.refuse(Code::kCorrupt, fmt::format("tensor {} before offset {} is there twice",
                                           quoted(tensor.name), in_.at()));
  }
  seen[slot.number] = true;
}

// The shape has been compared with numbers of at most 2^20 each: products fit.
void Parser::read_data(WhisperTensor& tensor) {
  if (!in_.ok()) return;
  const TensorType& type = *tensor_type(tensor.type);
  if (tensor.shape[0] % type.block != 0) {
    in_.refuse(Code::kCorrupt, fmt::format("rows of tensor {} have {} elements, no multiple of "
                                           "{}'s block of {}", quoted(tensor.name),
                                           tensor.shape[0], type.name, type.block));
    return;
  }
  tensor.at = in_.at();
  tensor.elements = tensor.shape[0] * tensor.shape[1] * tensor.shape[2];
  tensor.bytes = tensor_bytes(type, tensor.elements).value_or(UINT64_MAX);
  in_.pass(tensor.bytes, {"the data", std::nullopt, tensor.name});
  if (in_.ok()) out_.tensors.push_back(tensor);
}

}  // namespace

std::vector<WhisperTensor> whisper_tensors(const WhisperShape& shape, uint32_t weight_type,
                                           std::deque<std::string>* names) {
  std::vector<WhisperTensor> out;
  add_rows(shape, kEncoder, kEncoder.size(), "encoder.", weight_type, names, &out);
  for (uint32_t i = 0; i < shape.audio_layers; ++i) {
    add_rows(shape, kBlock, kEncoderBlock, fmt::format("encoder.blocks.{}.", i), weight_type,
             names, &out);
  }
  add_rows(shape, kDecoder, kDecoder.size(), "decoder.", weight_type, names, &out);
  for (uint32_t i = 0; i < shape.text_layers; ++i) {
    add_rows(shape, kBlock, kBlock.size(), fmt::format("decoder.blocks.{}.", i), weight_type,
             names, &out);
  }
  return out;
}

Result<WhisperFile> read_whisper(std::span<const std::byte> file) { return Parser(file).run(); }

}  // namespace gantry
