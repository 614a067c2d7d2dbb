// Parsing and printing of byte counts.
#include "base/bytes.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace gantry {

namespace {

constexpr double kMaxBytes = 1152921504606846976.0;  // 2^60: beyond any machine

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array<Unit, 14> kUnits = {{{"", 1.0},
                                          {"b", 1.0},
                                          {"k", 1024.0},
                                          {"kib", 1024.0},
                                          {"m", 1048576.0},
                                          {"mib", 1048576.0},
                                          {"g", 1073741824.0},
                                          {"gib", 1073741824.0},
                                          {"t", 1099511627776.0},
                                          {"tib", 1099511627776.0},
                                          {"kb", 1e3},
                                          {"mb", 1e6},
                                          {"gb", 1e9},
                                          {"tb", 1e12}}};

std::string squeeze(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

// The number at the front of text; what follows it is left in rest.
std::optional<double> leading_number(std::string_view text, std::string_view* rest) {
  double value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value,
                                   std::chars_format::fixed);
  if (ec != std::errc() || !std::isfinite(value)) return std::nullopt;
  *rest = text.substr(static_cast<size_t>(end - text.data()));
  return value;
}

tl::unexpected<Error> bad_size(std::string_view text) {
  return fail(Code::kUsage, fmt::format("'{}' is not a size in bytes", text),
              "write a positive number with a unit, such as 512MiB, 6GiB or 6GB");
}

}  // namespace

std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

Result<Bytes> parse_bytes(std::string_view text) {
  const std::string squeezed = squeeze(text);
  std::string_view unit;
  const std::optional<double> number = leading_number(squeezed, &unit);
  if (!number) return bad_size(text);
  for (const Unit& candidate : kUnits) {
    if (candidate.name != unit) continue;
    const double bytes = *number * candidate.factor;
    if (bytes < 1.0 || bytes > kMaxBytes) return bad_size(text);
    return Bytes{static_cast<uint64_t>(bytes)};
  }
  return bad_size(text);
}

Bytes Budget::of(Bytes total) const {
  if (bytes) return std::min(*bytes, total);
  return {static_cast<uint64_t>(static_cast<double>(total.n) * fraction.value_or(1.0))};
}

Result<Budget> parse_budget(std::string_view text) {
  const std::string squeezed = squeeze(text);
  if (!squeezed.empty() && squeezed.back() == '%') {
    std::string_view rest;
    const std::optional<double> percent = leading_number(squeezed, &rest);
    if (!percent || rest != "%" || *percent <= 0 || *percent > 100) {
      return fail(Code::kUsage, fmt::format("'{}' is not a share of memory", text),
                  "write more than 0% and at most 100%");
    }
    return Budget{std::nullopt, *percent / 100.0};
  }
  // "0.6": a share, as other programs take it.
  std::string_view rest;
  const std::optional<double> share = leading_number(squeezed, &rest);
  if (share && rest.empty() && squeezed.find('.') != std::string::npos && *share > 0 &&
      *share <= 1) {
    return Budget{std::nullopt, *share};
  }
  Result<Bytes> bytes = parse_bytes(text);
  if (!bytes) return fail(bytes.error());
  return Budget{*bytes, std::nullopt};
}

std::string format_bytes(Bytes bytes) {
  constexpr std::array<std::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes.n);
  size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kNames.size()) {
    value /= 1024.0;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes.n);
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

}  // namespace gantry
