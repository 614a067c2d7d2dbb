// The GGUF parser: one pass over header, pairs and tensor table.
#include "model/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/limits.h"
#include "model/reader.h"
#include "model/text.h"

namespace gantry {

namespace {

constexpr uint64_t kPairBytesMin = 8 + 1 + 4 + 1;        // one-letter key, one-byte value
constexpr uint64_t kTensorBytesMin = 8 + 1 + 4 + 4 + 8;  // one-letter name, scalar

struct TypeRow {
  std::string_view name;
  uint32_t bytes;  // 0: variable
};
constexpr std::array<TypeRow, kGgufTypeCount> kTypeRows = {{{"u8", 1},
                                                            {"i8", 1},
                                                            {"u16", 2},
                                                            {"i16", 2},
                                                            {"u32", 4},
                                                            {"i32", 4},
                                                            {"f32", 4},
                                                            {"bool", 1},
                                                            {"string", 0},
                                                            {"array", 0},
                                                            {"u64", 8},
                                                            {"i64", 8},
                                                            {"f64", 8}}};

const TypeRow& row(GgufType type) { return kTypeRows[static_cast<uint32_t>(type)]; }

template <class T>
std::optional<uint64_t> whole_at(const std::byte* from) {
  T value{};
  std::memcpy(&value, from, sizeof(T));
  if (value < T{}) return std::nullopt;
  return static_cast<uint64_t>(value);
}

// Next multiple of a power of two.
std::optional<uint64_t> padded(uint64_t n, uint64_t alignment) {
  const std::optional<uint64_t> up = checked_add(n, alignment - 1);
  if (!up) return std::nullopt;
  return *up & ~(alignment - 1);
}

class Parser {
 public:
  explicit Parser(std::span<const std::byte> file) : in_(file, kModelMetadataMax) {}

  Result<Gguf> run() {
    read_header();
    read_pairs();
    find_alignment();
    read_tensors();
    place_tensors();
    if (!in_.ok()) return fail(in_.error());
    return std::move(out_);
  }

 private:
  void read_header();
  void check_version();
  uint64_t read_count(const char* what, uint64_t bytes_min, uint64_t max);
  void read_pairs();
  void read_pair(uint64_t index);
  GgufType read_type(std::string_view key);
  void read_value(GgufPair& pair);
  void check_flags(const GgufPair& pair);
  void find_alignment();
  void read_tensors();
  void read_tensor(uint64_t index);
  void read_shape(GgufTensor& tensor);
  void read_storage(GgufTensor& tensor);
  void place_tensors();
  std::string_view read_name(const Field& length, const Field& text, uint64_t max);
  template <class Item, class Name>
  void check_unique(const std::vector<Item>& items, Name name, const char* what);

  Reader in_;
  Gguf out_;
  uint64_t pair_count_ = 0;
  uint64_t tensor_count_ = 0;
};

void Parser::read_header() {
  if (in_.text(4, {"the magic"}) != "GGUF" && in_.ok()) {
    in_.refuse(Code::kCorrupt, "the magic at offset 0 is not 'GGUF'");
  }
  out_.version = in_.number<uint32_t>({"the version"});
  check_version();
  tensor_count_ = read_count("tensors", kTensorBytesMin, kGgufTensorsMax);
  pair_count_ = read_count("metadata pairs", kPairBytesMin, kGgufPairsMax);
}

void Parser::check_version() {
  const uint32_t version = out_.version;
  if (!in_.ok() || version == 2 || version == 3) return;
  if (version == 0) {
    in_.refuse(Code::kCorrupt, "the version at offset 4 is 0");
  } else if ((version & 0xFFFF) == 0) {
    in_.refuse(Code::kUnsupported, "the file is big-endian",
               "convert it for little-endian machines, see gguf_convert_endian.py");
  } else {
    in_.refuse(Code::kUnsupported,
               fmt::format("GGUF version {} at offset 4 (2 and 3 are known)", version));
  }
}

uint64_t Parser::read_count(const char* what, uint64_t bytes_min, uint64_t max) {
  const uint64_t at = in_.at();
  const uint64_t count = in_.number<uint64_t>({"a count"});
  if (!in_.ok()) return 0;
  if (count > in_.left() / bytes_min) {
    in_.refuse(Code::kCorrupt, fmt::format("the count at offset {} declares {} {}, too many for "
                                           "the {} bytes that follow", at, count, what,
                                           in_.left()));
  } else if (count > max) {
    in_.refuse(Code::kTooLarge, fmt::format("{} {} declared at offset {} (at most {} are read)",
                                            count, what, at, max));
  }
  return in_.ok() ? count : 0;
}

std::string_view Parser::read_name(const Field& length, const Field& text, uint64_t max) {
  const uint64_t at = in_.at();
  const uint64_t size = in_.number<uint64_t>(length);
  if (!in_.ok()) return {};
  if (size > in_.left()) return in_.text(size, text);  // refused there
  if (size > max) {
    in_.refuse(Code::kTooLarge, fmt::format("{} at offset {} is {} (at most {} bytes)",
                                            length.text(), at, size, max));
    return {};
  }
  const std::string_view name = in_.text(size, text);
  if (in_.ok() && name.empty()) {
    in_.refuse(Code::kCorrupt, fmt::format("{} at offset {} is empty", text.text(), at));
  } else if (!is_clean_text(name)) {
    in_.refuse(Code::kCorrupt, fmt::format("{} at offset {} is {}, not clean UTF-8", text.text(),
                                           at + 8, quoted(name)));
  }
  return name;
}

void Parser::read_pairs() {
  if (!in_.ok()) return;
  out_.pairs.reserve(pair_count_);
  for (uint64_t i = 0; i < pair_count_ && in_.ok(); ++i) read_pair(i);
  check_unique(out_.pairs, [](const GgufPair& pair) { return pair.key; }, "key");
}

void Parser::read_pair(uint64_t index) {
  GgufPair pair;
  pair.key = read_name({"the length of key", index}, {"key", index}, kGgufKeyMax);
  pair.type = read_type(pair.key);
  if (pair.type == GgufType::kArray) {
    pair.is_array = true;
    const uint64_t at = in_.at();
    pair.type = read_type(pair.key);
    if (pair.type == GgufType::kArray) {
      in_.refuse(Code::kUnsupported, fmt::format("{} at offset {} is an array of arrays",
                                                 quoted(pair.key), at));
    }
    pair.count = in_.number<uint64_t>({"the array length", std::nullopt, pair.key});
  }
  read_value(pair);
  if (in_.ok()) out_.pairs.push_back(pair);
}

GgufType Parser::read_type(std::string_view key) {
  const uint64_t at = in_.at();
  const uint32_t type = in_.number<uint32_t>({"the value type", std::nullopt, key});
  if (in_.ok() && type >= kGgufTypeCount) {
    in_.refuse(Code::kCorrupt, fmt::format("the value type of {} at offset {} is {} (known: 0 to "
                                           "{})", quoted(key), at, type, kGgufTypeCount - 1));
  }
  return in_.ok() ? static_cast<GgufType>(type) : GgufType::kU8;
}

void Parser::read_value(GgufPair& pair) {
  pair.at = in_.at();
  const Field field{"the value", std::nullopt, pair.key};
  if (pair.type != GgufType::kString) {
    const std::optional<uint64_t> bytes = checked_mul(pair.count, row(pair.type).bytes);
    pair.raw = in_.view(bytes.value_or(UINT64_MAX), field);
    if (pair.type == GgufType::kBool) check_flags(pair);
    return;
  }
  if (!pair.is_array) {
    const uint64_t length = in_.number<uint64_t>({"the string length", std::nullopt, pair.key});
    pair.raw = in_.view(length, field);
    return;
  }
  if (in_.ok() && pair.count > in_.left() / sizeof(uint64_t)) {
    in_.refuse(Code::kCorrupt,
               fmt::format("{} at offset {} declares {} strings, too many for the {} bytes that "
                           "follow", quoted(pair.key), pair.at, pair.count, in_.left()));
  }
  size_t bytes = 0;
  const std::byte* start = nullptr;
  for (uint64_t i = 0; i < pair.count && in_.ok(); ++i) {
    const auto prefix = in_.view(sizeof(uint64_t), {"the length of string", i, pair.key});
    uint64_t length = 0;
    if (in_.ok()) std::memcpy(&length, prefix.data(), sizeof(length));
    if (start == nullptr) start = prefix.data();
    bytes += prefix.size() + in_.view(length, {"string", i, pair.key}).size();
  }
  if (in_.ok()) pair.raw = {start, bytes};
}

void Parser::check_flags(const GgufPair& pair) {
  const auto bad = std::find_if(pair.raw.begin(), pair.raw.end(),
                                [](std::byte b) { return std::to_integer<int>(b) > 1; });
  if (bad == pair.raw.end()) return;
  in_.refuse(Code::kCorrupt,
             fmt::format("a boolean of {} at offset {} is {} (0 or 1)", quoted(pair.key),
                         pair.at + static_cast<uint64_t>(bad - pair.raw.begin()),
                         std::to_integer<int>(*bad)));
}

template <class Item, class Name>
void Parser::check_unique(const std::vector<Item>& items, Name name, const char* what) {
  if (!in_.ok()) return;
  // Sorting costs the same whatever the names are; a hash table would not.
  std::vector<std::string_view> names;
  names.reserve(items.size());
  for (const Item& item : items) names.push_back(name(item));
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return;
  in_.refuse(Code::kCorrupt, fmt::format("the {} {} is there twice", what, quoted(*twice)));
}

void Parser::find_alignment() {
  const GgufPair* pair = in_.ok() ? out_.find("general.alignment") : nullptr;
  if (pair == nullptr) return;
  if (pair->is_array || pair->type != GgufType::kU32) {
    in_.refuse(Code::kCorrupt, fmt::format("general.alignment at offset {} is {}{} instead of u32",
                                           pair->at, pair->is_array ? "an array of " : "",
                                           gguf_type_name(pair->type)));
    return;
  }
  const uint64_t value = pair->whole().value_or(0);
  if (!std::has_single_bit(value)) {
    in_.refuse(Code::kCorrupt, fmt::format("general.alignment at offset {} is {}, not a power of "
                                           "two", pair->at, value));
  } else if (value > kGgufAlignmentMax) {
    in_.refuse(Code::kTooLarge, fmt::format("general.alignment at offset {} is {} (at most {})",
                                            pair->at, value, kGgufAlignmentMax));
  } else {
    out_.alignment = static_cast<uint32_t>(value);
  }
}

void Parser::read_tensors() {
  if (!in_.ok()) return;
  out_.tensors.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_ && in_.ok(); ++i) read_tensor(i);
  check_unique(out_.tensors, [](const GgufTensor& tensor) { return tensor.name; }, "tensor");
}

void Parser::read_tensor(uint64_t index) {
  GgufTensor tensor;
  tensor.name = read_name({"the name length of tensor", index}, {"the name of tensor", index},
                          kGgufTensorNameMax);
  read_shape(tensor);
  read_storage(tensor);
  if (in_.ok()) out_.tensors.push_back(tensor);
}

void Parser::read_shape(GgufTensor& tensor) {
  const uint64_t at = in_.at();
  tensor.dimensions = in_.number<uint32_t>({"the dimension count", std::nullopt, tensor.name});
  if (in_.ok() && tensor.dimensions > kGgufDimensionsMax) {
    in_.refuse(Code::kCorrupt, fmt::format("tensor {} at offset {} has {} dimensions (at most {})",
                                           quoted(tensor.name), at, tensor.dimensions,
                                           kGgufDimensionsMax));
  }
  tensor.shape.fill(1);
  tensor.elements = 1;
  for (uint32_t d = 0; d < tensor.dimensions && in_.ok(); ++d) {
    const uint64_t dim_at = in_.at();
    const uint64_t size = in_.number<uint64_t>({"dimension", d, tensor.name});
    if (!in_.ok()) return;
    const std::optional<uint64_t> product = checked_mul(tensor.elements, size);
    if (size == 0 || size > INT64_MAX) {
      in_.refuse(Code::kCorrupt, fmt::format("dimension {} of tensor {} at offset {} is {}", d,
                                             quoted(tensor.name), dim_at,
                                             static_cast<int64_t>(size)));
    } else if (!product || *product > INT64_MAX) {
      in_.refuse(Code::kCorrupt, fmt::format("dimension {} of tensor {} at offset {} is {}: more "
                                             "elements than 2^63", d, quoted(tensor.name), dim_at,
                                             size));
    } else {
      tensor.shape[d] = size;
      tensor.elements = *product;
    }
  }
}

void Parser::read_storage(GgufTensor& tensor) {
  const uint64_t at = in_.at();
  tensor.type = in_.number<uint32_t>({"the type", std::nullopt, tensor.name});
  if (!in_.ok()) return;
  const TensorType* type = tensor_type(tensor.type);
  if (type == nullptr) {
    in_.refuse(Code::kUnsupported, fmt::format("the type of tensor {} at offset {} is {}, which is "
                                               "unknown or was removed", quoted(tensor.name), at,
                                               tensor.type));
    return;
  }
  if (tensor.shape[0] % type->block != 0) {
    in_.refuse(Code::kCorrupt, fmt::format("rows of tensor {} have {} elements, no multiple of "
                                           "{}'s block of {}", quoted(tensor.name),
                                           tensor.shape[0], type->name, type->block));
    return;
  }
  const std::optional<uint64_t> bytes = tensor_bytes(*type, tensor.elements);
  if (!bytes || *bytes > in_.size()) {
    in_.refuse(Code::kCorrupt, fmt::format("tensor {} of {} {} elements is larger than the file",
                                           quoted(tensor.name), tensor.elements, type->name));
    return;
  }
  tensor.bytes = *bytes;
  tensor.offset = in_.number<uint64_t>({"the offset", std::nullopt, tensor.name});
}

// No sum here wraps: bytes and offsets are below the file's size once checked, the alignment is
// at most 1 MiB.
void Parser::place_tensors() {
  if (!in_.ok()) return;
  out_.data_at = in_.at();
  if (out_.tensors.empty()) return;
  out_.data_at = padded(in_.at(), out_.alignment).value_or(UINT64_MAX);
  if (out_.data_at > in_.size()) {
    in_.refuse(Code::kCorrupt, fmt::format("the tensor data should begin at offset {}, but the "
                                           "file ends at {}", out_.data_at, in_.size()));
    return;
  }
  const uint64_t data_bytes = in_.size() - out_.data_at;
  uint64_t expected = 0;
  for (const GgufTensor& tensor : out_.tensors) {
    if (tensor.offset != expected) {
      const char* fault = tensor.offset % out_.alignment != 0 ? "not aligned"
                          : tensor.offset < expected          ? "inside another tensor"
                                                              : "after a gap";
      in_.refuse(Code::kCorrupt, fmt::format("tensor {} has data offset {}, {} (expected {})",
                                             quoted(tensor.name), tensor.offset, fault, expected));
      return;
    }
    if (expected > data_bytes || tensor.bytes > data_bytes - expected) {
      in_.refuse(Code::kCorrupt, fmt::format("tensor {} needs {} bytes at offset {}, but the file "
                                             "ends at {}", quoted(tensor.name), tensor.bytes,
                                             out_.data_at + expected, in_.size()));
      return;
    }
    expected = padded(expected + tensor.bytes, out_.alignment).value_or(UINT64_MAX);
  }
}

}  // namespace

std::string_view gguf_type_name(GgufType type) { return row(type).name; }

std::optional<uint64_t> GgufPair::whole(uint64_t i) const {
  if (i >= count) return std::nullopt;
  const std::byte* from = raw.data() + i * row(type).bytes;
  switch (type) {
    case GgufType::kU8:
    case GgufType::kBool: return whole_at<uint8_t>(from);
    case GgufType::kI8: return whole_at<int8_t>(from);
    case GgufType::kU16: return whole_at<uint16_t>(from);
    case GgufType::kI16: return whole_at<int16_t>(from);
    case GgufType::kU32: return whole_at<uint32_t>(from);
    case GgufType::kI32: return whole_at<int32_t>(from);
    case GgufType::kU64: return whole_at<uint64_t>(from);
    case GgufType::kI64: return whole_at<int64_t>(from);
    default: return std::nullopt;
  }
}

std::optional<bool> GgufPair::flag() const {
  if (is_array || type != GgufType::kBool) return std::nullopt;
  return whole().value_or(0) == 1;
}

std::optional<std::string_view> GgufPair::text() const {
  if (is_array || type != GgufType::kString) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
}

const GgufPair* Gguf::find(std::string_view key) const {
  const auto found = std::find_if(pairs.begin(), pairs.end(),
                                  [&](const GgufPair& pair) { return pair.key == key; });
  return found == pairs.end() ? nullptr : &*found;
}

Result<Gguf> read_gguf(std::span<const std::byte> file) { return Parser(file).run(); }

}  // namespace gantry
