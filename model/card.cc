// From bytes to a card: the format by its magic, then tensors into groups; and what caches cost.
#include "model/card.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "model/geometry.h"
#include "model/gguf.h"
#include "model/groups.h"
#include "model/sniff.h"
#include "model/tensor_type.h"
#include "model/text.h"
#include "model/whisper.h"

namespace gantry {

namespace {

constexpr uint32_t kCellStep = 256;  // llama.cpp and whisper.cpp round caches up to this many

struct CacheRow {
  CacheType type;
  std::string_view name;
  uint32_t tensor_type;
};
constexpr std::array<CacheRow, kCacheTypes.size()> kCacheRows = {{{CacheType::kF32, "f32", 0},
                                                                  {CacheType::kF16, "f16", 1},
                                                                  {CacheType::kBf16, "bf16", 30},
                                                                  {CacheType::kQ8_0, "q8_0", 8},
                                                                  {CacheType::kQ5_1, "q5_1", 7},
                                                                  {CacheType::kQ5_0, "q5_0", 6},
                                                                  {CacheType::kQ4_1, "q4_1", 3},
                                                                  {CacheType::kQ4_0, "q4_0", 2}}};

const CacheRow& cache_row(CacheType type) { return kCacheRows[static_cast<size_t>(type)]; }
const TensorType& stored_as(CacheType type) { return *tensor_type(cache_row(type).tensor_type); }

uint64_t times(uint64_t a, uint64_t b) { return checked_mul(a, b).value_or(UINT64_MAX); }

uint64_t whole_cells(uint64_t tokens) { return (tokens + kCellStep - 1) / kCellStep * kCellStep; }

Result<ModelCard> read_gguf_card(std::span<const std::byte> file) {
  const Result<Gguf> gguf = read_gguf(file);
  if (!gguf) return fail(gguf.error());
  ModelCard card;
  if (const Result<void> read = read_geometry(*gguf, card); !read) return fail(read.error());
  card.file_bytes = Bytes{file.size()};
  CardGroups groups;
  for (const GgufTensor& tensor : gguf->tensors) {
    const TensorPlace place = gguf_place(tensor.name);
    if (place.layer >= static_cast<int>(card.layers)) {
      return fail(Code::kCorrupt,
                  fmt::format("tensor {} is of layer {}, but block_count is {}",
                              quoted(tensor.name), place.layer, card.layers),
                  "the file is damaged or not a model: fetch it again");
    }
    groups.add(place, tensor.type, tensor.elements, tensor.bytes, tensor.shape[0]);
  }
  groups.finish(&card);
  return card;
}

Result<ModelCard> read_whisper_card(std::span<const std::byte> file) {
  const Result<WhisperFile> whisper = read_whisper(file);
  if (!whisper) return fail(whisper.error());
  ModelCard card;
  whisper_geometry(whisper->shape, &card);
  card.file_bytes = Bytes{file.size()};
  CardGroups groups;
  for (const WhisperTensor& tensor : whisper->tensors) {
    groups.add(whisper_place(tensor.name), tensor.type, tensor.elements, tensor.bytes);
  }
  groups.finish(&card);
  return card;
}

}  // namespace

std::string_view cache_type_name(CacheType type) { return cache_row(type).name; }

Result<CacheType> parse_cache_type(std::string_view name) {
  for (const CacheRow& row : kCacheRows) {
    if (row.name == name) return row.type;
  }
  return fail(Code::kUsage, fmt::format("{} is no cache type", quoted(name)),
              "use f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0");
}

Bytes cache_row_bytes(CacheType type, uint32_t width) {
  const TensorType& stored = stored_as(type);
  return Bytes{(uint64_t{width} + stored.block - 1) / stored.block * stored.bytes};
}

std::string_view part_name(Part part) {
  constexpr std::array<std::string_view, 6> kNames = {"embedding", "layer",     "output",
                                                      "encoder",   "projector", "other"};
  return kNames[static_cast<size_t>(part)];
}

bool VisionStyle::is_qwen() const {
  return projector == "qwen2vl_merger" || projector == "qwen2.5vl_merger" ||
         projector == "qwen3vl_merger";
}

Bytes ModelCard::bytes_in(Part part) const {
  Bytes sum;
  for (const TensorGroup& group : groups) {
    if (group.part == part) sum += group.bytes;
  }
  return sum;
}

Bytes ModelCard::kv_bytes_per_token(CacheType k, CacheType v) const {
  Bytes sum;
  for (const LayerKv& layer : kv) {
    sum += cache_row_bytes(k, layer.k_width) + cache_row_bytes(v, layer.v_width);
  }
  return sum;
}

Bytes ModelCard::kv_bytes(uint32_t context, CacheType k, CacheType v, CacheShape shape) const {
  const uint64_t cells = whole_cells(context);
  Bytes sum;
  for (const LayerKv& layer : kv) {
    const uint64_t needed = times(layer.window, shape.sequences) + shape.ubatch;
    const uint64_t held = layer.window == 0 ? cells : whole_cells(std::min(cells, needed));
    const Bytes row = cache_row_bytes(k, layer.k_width) + cache_row_bytes(v, layer.v_width);
    sum += Bytes{times(held, row.n)};
  }
  return sum;
}

Result<void> ModelCard::check_cache(CacheType k, CacheType v) const {
  if (format == ModelFormat::kWhisper && (k != CacheType::kF16 || v != CacheType::kF16)) {
    return fail(Code::kUnsupported, "a whisper model keeps its cache in f16", "leave the type out");
  }
  const auto check = [](CacheType type, uint32_t head, const char* which) -> Result<void> {
    const uint32_t block = stored_as(type).block;
    if (head % block == 0) return {};
    return fail(Code::kUnsupported,
                fmt::format("a {} cache of type {} needs heads of a multiple of {}, this model's "
                            "have {}", which, cache_type_name(type), block, head),
                fmt::format("use f16 for the {} cache", which));
  };
  for (const LayerKv& layer : kv) {
    if (Result<void> fits = check(k, layer.k_head, "K"); !fits) return fits;
    if (Result<void> fits = check(v, layer.v_head, "V"); !fits) return fits;
  }
  return {};
}

Result<ModelCard> read_card(std::span<const std::byte> file) {
  uint32_t magic = 0;
  if (file.size() >= sizeof(magic)) std::memcpy(&magic, file.data(), sizeof(magic));
  constexpr uint32_t kGgufMagic = 0x46554747;
  if (magic == kGgufMagic) return read_gguf_card(file);
  if (magic == kWhisperMagic) return read_whisper_card(file);
  const Lookalike seen = look_at(file);
  return fail(Code::kCorrupt, fmt::format("not a model file: it is {}", seen.what),
              std::string(seen.remedy));
}

}  // namespace gantry
