// Blocks of random bits with fitting scales. Layouts are ggml-common.h's (ggml 0.25.3); a test in
// lab compares what ggml reads from them with what is promised here.
#include "model/synth_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "model/tensor_type.h"

namespace gantry {

namespace {

enum : uint32_t {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ2_K = 10,
  kQ3_K = 11, kQ4_K = 12, kQ5_K = 13, kQ6_K = 14, kIq2Xxs = 16, kIq2Xs = 17, kIq3Xxs = 18,
  kIq1S = 19, kIq4Nl = 20, kIq3S = 21, kIq2S = 22, kIq4Xs = 23, kBf16 = 30, kMxfp4 = 39,
  kNvfp4 = 40,
};

enum class Form {
  kFloat,     // values from a table
  kSigned,    // a float16 scale, whose sign is random
  kWithMin,   // a float16 scale and right behind it a float16 that is min_ratio times as large
  kPowers,    // MXFP4: a byte that is a power of two
  kTinyFloats // NVFP4: four bytes, each a float of 4 exponent and 3 mantissa bits
};

// square: what a random code squared is on average when the block's scale is 1, the scales inside
// the block included as write_inner() draws them.
struct Recipe {
  uint32_t type;
  Form form;
  uint32_t scale_at = 0;  // offset in the block
  double square = 1;
  double min_ratio = 0;
};

// Mean square of the integers low..high, each as likely.
constexpr double mean_square(int low, int high) {
  double sum = 0;
  for (int i = low; i <= high; ++i) sum += i * i;
  return sum / (high - low + 1);
}
// Likewise around their own mean.
constexpr double variance(int count) { return (count * count - 1) / 12.0; }

template <size_t N>
constexpr double mean_square(const std::array<int, N>& values) {
  double sum = 0;
  for (const int value : values) sum += value * value;
  return sum / N;
}

constexpr std::array kCurve = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};  // IQ4's sixteen values
constexpr std::array kFp4 = {0, 1, 2, 3, 4, 6, 8, 12};  // E2M1, doubled

// The squares of the IQ types with a codebook were measured: the mean over random blocks as ggml
// reads them.
constexpr std::array kRecipes = std::to_array<Recipe>({
    {kF32, Form::kFloat},
    {kF16, Form::kFloat},
    {kBf16, Form::kFloat},
    {kQ8_0, Form::kSigned, 0, mean_square(-127, 127)},
    {kQ6_K, Form::kSigned, 208, mean_square(-32, 31) * mean_square(16, 31)},
    {kQ5_K, Form::kWithMin, 0, variance(32) * mean_square(32, 63), 15.5},
    {kQ5_1, Form::kWithMin, 0, variance(32), -15.5},
    {kQ5_0, Form::kSigned, 0, mean_square(-16, 15)},
    {kQ4_K, Form::kWithMin, 0, variance(16) * mean_square(32, 63), 7.5},
    {kQ4_1, Form::kWithMin, 0, variance(16), -7.5},
    {kQ4_0, Form::kSigned, 0, mean_square(-8, 7)},
    {kIq4Nl, Form::kSigned, 0, mean_square(kCurve)},
    {kIq4Xs, Form::kSigned, 0, mean_square(kCurve) * mean_square(-32, 31)},
    {kNvfp4, Form::kTinyFloats, 0, mean_square(kFp4) / 4},
    {kMxfp4, Form::kPowers, 0, mean_square(kFp4) / 4},
    {kQ3_K, Form::kSigned, 108, mean_square(-4, 3) * mean_square(-32, 31)},
    {kQ2_K, Form::kWithMin, 80, variance(4) * mean_square(8, 15), 1.5},
    {kIq3S, Form::kSigned, 0, 19730},
    {kIq3Xxs, Form::kSigned, 0, 20220},
    {kIq2S, Form::kSigned, 0, 3187},
    {kIq2Xs, Form::kSigned, 0, 3127},
    {kIq2Xxs, Form::kSigned, 0, 2863},
    {kIq1S, Form::kSigned, 0, 51.9},
});

const Recipe& recipe_of(uint32_t type) {
  return *std::ranges::find(kRecipes, type, &Recipe::type);
}

constexpr size_t kTableBits = 12;
constexpr size_t kTableSize = size_t{1} << kTableBits;

// The normal distribution's quantile (Acklam's approximation, relative error below 1.2e-9).
double quantile(double p) {
  constexpr std::array a = {-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02,
                            1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr std::array b = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                            6.680131188771972e+01, -1.328068155288572e+01};
  constexpr std::array c = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                            -2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00};
  constexpr std::array d = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                            3.754408661907416e+00};
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  }
  const double q = p - 0.5, r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

// Values of N(0, 1) at evenly spaced probabilities; sum zero and mean square one, exactly enough.
std::vector<double> normal_table() {
  std::vector<double> table(kTableSize);
  double squares = 0;
  for (size_t i = 0; i < kTableSize / 2; ++i) {
    table[i] = quantile((static_cast<double>(i) + 0.5) / kTableSize);
    table[kTableSize - 1 - i] = -table[i];
    squares += 2 * table[i] * table[i];
  }
  const double rms = std::sqrt(squares / kTableSize);
  for (double& value : table) value /= rms;
  return table;
}

const std::vector<double>& normals() {
  static const std::vector<double> table = normal_table();
  return table;
}

void random_bytes(Rng& rng, std::span<std::byte> out) {
  size_t at = 0;
  for (; at + 8 <= out.size(); at += 8) {
    const uint64_t bits = rng.next();
    std::memcpy(out.data() + at, &bits, 8);
  }
  const uint64_t bits = rng.next();
  std::memcpy(out.data() + at, &bits, out.size() - at);
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}
template <class T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

// The eight 6-bit scales (32 to 63) of a Q4_K or Q5_K block, each twice: its minimum is the same
// number, so that scale * codes - minimum has mean zero. Bits 4 and 5 of the last four lie in the
// top of the first bytes.
void write_k_scales(std::byte* at) {
  const uint32_t low = (load<uint32_t>(at) & 0x5f5f5f5fU) | 0xa0a0a0a0U;
  const uint32_t nibbles = load<uint32_t>(at + 8) & 0x0f0f0f0fU;
  store(at, low);
  store(at + 4, low);
  store(at + 8, nibbles * 0x11U);
}

// Scales inside a block, and codes that quantisers never write.
void write_inner(uint32_t type, std::byte* block) {
  switch (type) {
    case kQ8_0:
      for (size_t i = 2; i < 34; ++i) {  // -128 becomes -127
        block[i] ^= static_cast<std::byte>(block[i] == std::byte{0x80} ? 1 : 0);
      }
      break;
    case kQ2_K:  // scale 8 to 15 in the low half, the same minimum in the high half
      for (size_t i = 0; i < 16; ++i) {
        block[i] = static_cast<std::byte>(((static_cast<unsigned>(block[i]) & 7U) | 8U) * 0x11U);
      }
      break;
    case kQ4_K:
    case kQ5_K:
      write_k_scales(block + 4);
      break;
    case kQ6_K:  // 16 to 31, signed
      for (size_t i = 192; i < 208; ++i) {
        const auto bits = static_cast<unsigned>(block[i]);
        const int size = static_cast<int>(16U + (bits & 15U));
        block[i] = static_cast<std::byte>((bits & 128U) != 0 ? -size : size);
      }
      break;
    default:
      break;
  }
}

// Values of a table of kTableSize, four for each random number.
template <class T>
void pick_values(Rng& rng, const std::byte* table, std::span<std::byte> out) {
  const auto value = [table](uint64_t bits) {
    return load<T>(table + (bits & (kTableSize - 1)) * sizeof(T));
  };
  size_t at = 0;
  for (; at + 4 * sizeof(T) <= out.size(); at += 4 * sizeof(T)) {
    const uint64_t bits = rng.next();
    for (size_t i = 0; i < 4; ++i) store(out.data() + at + i * sizeof(T), value(bits >> (16 * i)));
  }
  for (; at < out.size(); at += sizeof(T)) store(out.data() + at, value(rng.next()));
}

double power_of(uint8_t code) { return std::ldexp(1.0, code - 127); }

double tiny_float_of(uint8_t code) {
  const int exponent = code >> 3, mantissa = code & 7;
  return exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8.0, exponent - 7);
}

// Codes whose mean square is the wanted one: the two that lie around it, in that proportion.
// Code to value must grow from `least` to `most`.
template <class Decode>
void mix_codes(std::span<uint8_t> out, uint8_t least, uint8_t most, double wanted, Decode decode) {
  uint8_t low = least;
  while (low + 1 < most && decode(static_cast<uint8_t>(low + 1)) <= wanted) ++low;
  const double below = decode(low) * decode(low);
  const auto high = static_cast<uint8_t>(low + 1);
  const double above = decode(high) * decode(high);
  const double share = std::clamp((wanted * wanted - below) / (above - below), 0.0, 1.0);
  const auto count = static_cast<size_t>(std::lround(share * static_cast<double>(out.size())));
  for (size_t i = 0; i < out.size(); ++i) out[i] = i < count ? high : low;
}

}  // namespace

std::span<const uint32_t> random_block_types() {
  static constexpr auto kTypes = [] {
    std::array<uint32_t, kRecipes.size()> types{};
    for (size_t i = 0; i < types.size(); ++i) types[i] = kRecipes[i].type;
    return types;
  }();
  return kTypes;
}

uint16_t half_of(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const float size = std::fabs(value);
  if (!(size < 65520.0F)) return static_cast<uint16_t>(sign | (size > 0 ? 0x7c00U : 0x7e00U));
  if (size < 6.103515625e-05F) {  // below the smallest normal number: steps of 2^-24
    return static_cast<uint16_t>(sign |
                                 static_cast<uint16_t>(std::nearbyint(size * 16777216.0F)));
  }
  const uint32_t kept = std::bit_cast<uint32_t>(size) - (112U << 23);
  return static_cast<uint16_t>(sign | ((kept + 0xfffU + ((kept >> 13) & 1U)) >> 13));
}

uint16_t bfloat_of(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 64U);
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

RandomBlocks::RandomBlocks(uint32_t type, double spread)
    : type_(type), block_bytes_(tensor_type(type)->bytes) {
  const Recipe& recipe = recipe_of(type);
  const double middle = spread / std::sqrt(recipe.square);
  if (recipe.form == Form::kPowers) {
    mix_codes(codes_, 1, 254, middle, power_of);
  } else if (recipe.form == Form::kTinyFloats) {
    mix_codes(codes_, 0, 0x7e, middle, tiny_float_of);
  } else if (recipe.form == Form::kFloat) {
    values_.resize(kTableSize * block_bytes_);
    for (size_t i = 0; i < kTableSize; ++i) {
      const auto value = static_cast<float>(spread * normals()[i]);
      std::byte* at = values_.data() + i * block_bytes_;
      if (type == kF32) store(at, value);
      if (type == kF16) store(at, half_of(value));
      if (type == kBf16) store(at, bfloat_of(value));
    }
  } else {
    // Sixteen sizes from 0.75 to 1.25; their mean square is 1 + (0.5 / 15)^2 * variance(16).
    const double even = std::sqrt(1 + variance(16) / 900);
    for (size_t i = 0; i < scales_.size(); ++i) {
      const double size = (0.75 + static_cast<double>(i / 2) / 30) / even * middle;
      const bool negative = recipe.form == Form::kSigned && i % 2 == 1;
      scales_[i].scale = half_of(static_cast<float>(negative ? -size : size));
      scales_[i].min = half_of(static_cast<float>(size * recipe.min_ratio));
    }
  }
}

// The bytes where scales belong hold random bits by now: those choose.
void RandomBlocks::set_scales(std::span<std::byte> out) const {
  const Recipe& recipe = recipe_of(type_);
  const bool with_min = recipe.form == Form::kWithMin;
  const size_t byte_scales = recipe.form == Form::kPowers ? 1
                             : recipe.form == Form::kTinyFloats ? 4 : 0;
  for (size_t at = 0; at < out.size(); at += block_bytes_) {
    std::byte* block = out.data() + at;
    for (size_t i = 0; i < byte_scales; ++i) {
      block[i] = std::byte{codes_[static_cast<size_t>(block[i]) % codes_.size()]};
    }
    if (byte_scales > 0) continue;
    std::byte* scale = block + recipe.scale_at;
    const Scale& chosen = scales_[load<uint16_t>(scale) % scales_.size()];
    store(scale, chosen.scale);
    if (with_min) store(scale + 2, chosen.min);
    write_inner(type_, block);
  }
}

void RandomBlocks::fill(Rng& rng, std::span<std::byte> out) const {
  if (!values_.empty() && block_bytes_ == sizeof(float)) {
    return pick_values<uint32_t>(rng, values_.data(), out);
  }
  if (!values_.empty()) return pick_values<uint16_t>(rng, values_.data(), out);
  random_bytes(rng, out);
  set_scales(out);
}

}  // namespace gantry
