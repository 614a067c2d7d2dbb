// What lossless codecs make of a file of weights, and how fast one core undoes them. The file is
// cut into blocks as a streamer would transfer them; each block is compressed as it is ("none") or
// after its fields were separated ("split"), decoded in memory, compared, and timed.
// usage: bench-codec TYPE FILE [BLOCK_MIB]     JSON lines on stdout, one per split and codec
#include <fmt/format.h>
#include <lz4.h>
#include <lz4hc.h>
#include <time.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;
constexpr size_t kMiB = 1 << 20;
constexpr size_t kRingBytes = 64 * kMiB;      // decoded into: larger than the last-level cache
constexpr size_t kInputBytes = 64 * kMiB;     // and so are the copies of what is decoded
constexpr size_t kMeasuredBytes = 96 * kMiB;  // decoded per codec
// ZSTD_c_literalCompressionMode and ZSTD_ps_enable: in zstd.h for static linking only.
constexpr auto kLiteralMode = ZSTD_c_experimentalParam5;
constexpr int kLiteralsAlways = 1;

// One block of a weight type as the lengths of its fields; half floats are two bytes, so that
// exponents and mantissas part. The sums are ggml's block sizes.
template <size_t... kLengths>
struct Layout {
  static constexpr std::array<size_t, sizeof...(kLengths)> kFields = {kLengths...};
  static constexpr size_t kBlock = (kLengths + ...);

  // Fields of `count` blocks, field after field.
  static void split(const uint8_t* in, size_t count, uint8_t* const* out) {
    size_t field = 0, offset = 0;
    (split_field<kLengths>(in, count, out[field++], std::exchange(offset, offset + kLengths)), ...);
  }

  static void join(const uint8_t* const* in, size_t count, uint8_t* out) {
    for (size_t i = 0; i < count; ++i, out += kBlock) {
      size_t field = 0, offset = 0;
      (join_field<kLengths>(in[field++] + i * kLengths,
                            out + std::exchange(offset, offset + kLengths)),
       ...);
    }
  }

 private:
  template <size_t kLength>
  static void split_field(const uint8_t* in, size_t count, uint8_t* out, size_t offset) {
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(out + i * kLength, in + i * kBlock + offset, kLength);
    }
  }
  template <size_t kLength>
  static void join_field(const uint8_t* in, uint8_t* out) {
    std::memcpy(out, in, kLength);
  }
};

// BF16 and F32: the sign goes behind the mantissa, so that the top byte is the exponent alone.
template <typename Word>
struct Float {
  static constexpr size_t kBlock = sizeof(Word);
  static constexpr std::array<size_t, kBlock> kFields = [] {
    std::array<size_t, kBlock> ones{};
    ones.fill(1);
    return ones;
  }();
  static constexpr int kTop = 8 * sizeof(Word) - 1;

  static void split(const uint8_t* in, size_t count, uint8_t* const* out) {
    for (size_t i = 0; i < count; ++i) {
      Word word;
      std::memcpy(&word, in + i * kBlock, kBlock);
      word = static_cast<Word>((word << 1) | (word >> kTop));
      for (size_t b = 0; b < kBlock; ++b) out[b][i] = static_cast<uint8_t>(word >> (8 * b));
    }
  }

  static void join(const uint8_t* const* in, size_t count, uint8_t* out) {
    std::array<const uint8_t*, kBlock> plane;
    std::copy_n(in, kBlock, plane.begin());
    for (size_t i = 0; i < count; ++i) {
      Word word = 0;
      for (size_t b = 0; b < kBlock; ++b) {
        word = static_cast<Word>(word | static_cast<Word>(Word{plane[b][i]} << (8 * b)));
      }
      word = static_cast<Word>((word >> 1) | (word << kTop));
      std::memcpy(out + i * kBlock, &word, kBlock);
    }
  }
};

struct Shape {
  std::string_view type;
  size_t block = 1;
  std::vector<size_t> fields = {1};
  void (*split)(const uint8_t*, size_t, uint8_t* const*) = nullptr;
  void (*join)(const uint8_t* const*, size_t, uint8_t*) = nullptr;
};

template <typename L>
Shape shape(std::string_view type) {
  return {type, L::kBlock, {L::kFields.begin(), L::kFields.end()}, L::split, L::join};
}

std::vector<Shape> shapes() {
  return {shape<Float<uint32_t>>("F32"),
          shape<Float<uint16_t>>("BF16"),
          shape<Layout<1, 1>>("F16"),                  // mantissa; sign, exponent, 2 of mantissa
          shape<Layout<1, 1, 32>>("Q8_0"),             // d, qs
          shape<Layout<1, 1, 16>>("Q4_0"),             // d, qs
          shape<Layout<1, 1, 1, 1, 16>>("Q4_1"),       // d, m, qs
          shape<Layout<1, 1, 1, 1, 12, 128>>("Q4_K"),  // d, dmin, scales, qs
          shape<Layout<128, 64, 16, 1, 1>>("Q6_K")};   // ql, qh, scales, d
}

enum class Family { kLz4, kZstd };

struct Codec {
  const char* name;
  Family family;
  int level;
  bool literals = false;  // zstd: Huffman-coded literals also where the level would leave them
  double keep_below = 0.98;  // a field that keeps more stays as it is: its decode is then a copy
};

// At level -100 zstd finds next to no matches: what remains is its Huffman coder. The last one
// leaves alone the fields that yield under a tenth, which are nearly always the quants.
constexpr Codec kCodecs[] = {{"lz4", Family::kLz4, 0},
                             {"lz4hc-9", Family::kLz4, 9},
                             {"zstd-1", Family::kZstd, 1},
                             {"zstd-9", Family::kZstd, 9},
                             {"zstd-huffman", Family::kZstd, -100, true},
                             {"zstd-huffman-scales", Family::kZstd, -100, true, 0.9}};

[[noreturn]] void fail(const std::string& cause) {
  fmt::print(stderr, "bench-codec: {}\n", cause);
  std::exit(1);
}

// One stream of a block; `raw` when compressing it does not pay.
struct Stream {
  Bytes data;
  size_t bytes = 0;  // decoded
  bool raw = false;
};

struct Block {
  std::vector<Stream> streams;
  size_t bytes = 0;
};

class Coder {
 public:
  explicit Coder(const Codec& codec)
      : codec_(codec), encoder_(ZSTD_createCCtx()), decoder_(ZSTD_createDCtx()) {
    ZSTD_CCtx_setParameter(encoder_.get(), ZSTD_c_compressionLevel, codec.level);
    if (codec.literals) {
      const size_t done = ZSTD_CCtx_setParameter(encoder_.get(), kLiteralMode, kLiteralsAlways);
      if (ZSTD_isError(done)) fail("zstd does not take the literal mode");
    }
  }

  Stream encode(const Bytes& in) const {
    Stream out{Bytes(bound(in.size())), in.size()};
    out.data.resize(encode_into(in, out.data));
    if (static_cast<double>(out.data.size()) > codec_.keep_below * static_cast<double>(in.size())) {
      out.data = in;
      out.raw = true;
    }
    return out;
  }

  void decode(const Stream& in, uint8_t* out) const {
    if (in.raw) {
      std::memcpy(out, in.data.data(), in.bytes);
    } else if (codec_.family == Family::kLz4) {
      const int done = LZ4_decompress_safe(reinterpret_cast<const char*>(in.data.data()),
                                           reinterpret_cast<char*>(out),
                                           static_cast<int>(in.data.size()),
                                           static_cast<int>(in.bytes));
      if (done != static_cast<int>(in.bytes)) fail("lz4 did not decode its own stream");
    } else {
      const size_t done = ZSTD_decompressDCtx(decoder_.get(), out, in.bytes, in.data.data(),
                                              in.data.size());
      if (done != in.bytes) fail("zstd did not decode its own stream");
    }
  }

 private:
  size_t bound(size_t bytes) const {
    return codec_.family == Family::kZstd
               ? ZSTD_compressBound(bytes)
               : static_cast<size_t>(LZ4_compressBound(static_cast<int>(bytes)));
  }

  size_t encode_into(const Bytes& in, Bytes& out) const {
    if (codec_.family == Family::kZstd) {
      const size_t done =
          ZSTD_compress2(encoder_.get(), out.data(), out.size(), in.data(), in.size());
      if (ZSTD_isError(done)) fail(ZSTD_getErrorName(done));
      return done;
    }
    const auto* from = reinterpret_cast<const char*>(in.data());
    auto* to = reinterpret_cast<char*>(out.data());
    const int size = static_cast<int>(in.size()), room = static_cast<int>(out.size());
    return static_cast<size_t>(codec_.level > 0
                                   ? LZ4_compress_HC(from, to, size, room, codec_.level)
                                   : LZ4_compress_default(from, to, size, room));
  }

  struct Free {
    void operator()(ZSTD_CCtx* one) const { ZSTD_freeCCtx(one); }
    void operator()(ZSTD_DCtx* one) const { ZSTD_freeDCtx(one); }
  };
  Codec codec_;
  std::unique_ptr<ZSTD_CCtx, Free> encoder_;
  std::unique_ptr<ZSTD_DCtx, Free> decoder_;
};

Block encode(const Coder& coder, const Shape& shape, bool split, const uint8_t* in, size_t bytes) {
  Block block{{}, bytes};
  if (!split) {
    block.streams.push_back(coder.encode(Bytes(in, in + bytes)));
    return block;
  }
  const size_t count = bytes / shape.block;
  std::vector<Bytes> fields;
  std::vector<uint8_t*> to;
  for (const size_t length : shape.fields) fields.emplace_back(count * length);
  for (Bytes& field : fields) to.push_back(field.data());
  shape.split(in, count, to.data());
  for (const Bytes& field : fields) block.streams.push_back(coder.encode(field));
  return block;
}

// `room` holds the separated fields between the codec and the join; raw ones are joined in place.
void decode(const Coder& coder, const Shape& shape, const Block& block, Bytes& room, uint8_t* out) {
  if (block.streams.size() == 1) {
    coder.decode(block.streams[0], out);
    return;
  }
  std::array<const uint8_t*, 8> from{};
  size_t field = 0, at = 0;
  for (const Stream& stream : block.streams) {
    from[field] = stream.raw ? stream.data.data() : room.data() + at;
    if (!stream.raw) coder.decode(stream, room.data() + at);
    at += stream.bytes;
    ++field;
  }
  shape.join(from.data(), block.bytes / shape.block, out);
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Speed {
  double cpu = 0, wall = 0;  // GB/s of decoded bytes, medians over blocks
  size_t decodes = 0;
};

// Every decode reads a copy of its block and writes a place that have left the cache.
Speed measure(const Coder& coder, const Shape& shape, const std::vector<Block>& blocks,
              size_t block_bytes) {
  std::vector<Block> copies;
  size_t held = 0;
  for (size_t i = 0; held < kInputBytes || i < blocks.size(); ++i) {
    copies.push_back(blocks[i % blocks.size()]);
    for (const Stream& stream : copies.back().streams) held += stream.data.size();
  }
  Bytes ring(kRingBytes), room(block_bytes);
  std::vector<double> cpu, wall;
  size_t at = 0, done = 0;
  for (size_t i = 0; done < kMeasuredBytes || i < 8; ++i) {
    const Block& block = copies[i % copies.size()];
    if (at + block.bytes > ring.size()) at = 0;
    const double wall_began = wall_seconds(), cpu_began = cpu_seconds();
    decode(coder, shape, block, room, ring.data() + at);
    const double took = cpu_seconds() - cpu_began, waited = wall_seconds() - wall_began;
    cpu.push_back(static_cast<double>(block.bytes) / took / 1e9);
    wall.push_back(static_cast<double>(block.bytes) / waited / 1e9);
    at += block.bytes;
    done += block.bytes;
  }
  return {median(cpu), median(wall), cpu.size()};
}

void run(const Shape& shape, bool split, const Codec& codec, const Bytes& file,
         size_t block_bytes) {
  const Coder coder(codec);
  std::vector<Block> blocks;
  std::vector<size_t> fields(split ? shape.fields.size() : 1);
  Bytes room(block_bytes), back(block_bytes);
  size_t stored = 0;
  for (size_t at = 0; at < file.size(); at += block_bytes) {
    const size_t bytes = std::min(block_bytes, file.size() - at);
    blocks.push_back(encode(coder, shape, split, file.data() + at, bytes));
    decode(coder, shape, blocks.back(), room, back.data());
    if (!std::equal(back.begin(), back.begin() + static_cast<ptrdiff_t>(bytes),
                    file.begin() + static_cast<ptrdiff_t>(at))) {
      fail(std::string(codec.name) + " did not give back what it was given");
    }
    for (size_t field = 0; field < fields.size(); ++field) {
      fields[field] += blocks.back().streams[field].data.size();
      stored += blocks.back().streams[field].data.size();
    }
  }
  const Speed speed = measure(coder, shape, blocks, block_bytes);
  fmt::print("{{\"split\":{},\"codec\":\"{}\",\"block_bytes\":{},\"bytes\":{},\"stored\":{},"
             "\"ratio\":{:.4f},\"decode_gb_s\":{:.3f},\"decode_wall_gb_s\":{:.3f},\"decodes\":{},"
             "\"fields_stored\":[{}]}}\n",
             split, codec.name, block_bytes, file.size(), stored,
             static_cast<double>(stored) / static_cast<double>(file.size()), speed.cpu, speed.wall,
             speed.decodes, fmt::join(fields, ","));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) fail("usage: bench-codec TYPE FILE [BLOCK_MIB]");
  const std::vector<Shape> known = shapes();
  const auto shape = std::find_if(known.begin(), known.end(),
                                  [&](const Shape& one) { return one.type == argv[1]; });
  if (shape == known.end()) fail(std::string("no layout for type ") + argv[1]);
  std::ifstream stream(argv[2], std::ios::binary);
  const Bytes file{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (file.empty() || file.size() % shape->block != 0) {
    fail(std::string(argv[2]) + " does not hold whole blocks of " + argv[1]);
  }
  const size_t mib = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 4;
  const size_t block_bytes = mib * kMiB / shape->block * shape->block;
  if (block_bytes == 0) fail("BLOCK_MIB is a whole number from 1");
  for (const bool split : {false, true}) {
    for (const Codec& codec : kCodecs) run(*shape, split, codec, file, block_bytes);
  }
  return 0;
}
