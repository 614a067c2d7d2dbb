// Bytes: the one unit of the whole system, with arithmetic that cannot wrap silently.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry {

struct Bytes {
  uint64_t n = 0;
  auto operator<=>(const Bytes&) const = default;

  // Saturating: a sum that would wrap stays at the maximum, so that it can never seem to fit.
  Bytes& operator+=(Bytes other) {
    n = (n + other.n < n) ? UINT64_MAX : n + other.n;
    return *this;
  }
  // Floors at zero: "room left" is never negative.
  Bytes& operator-=(Bytes other) {
    n = other.n > n ? 0 : n - other.n;
    return *this;
  }
  friend Bytes operator+(Bytes a, Bytes b) { return a += b; }
  friend Bytes operator-(Bytes a, Bytes b) { return a -= b; }
};

constexpr Bytes KiB(uint64_t n) { return {n << 10}; }
constexpr Bytes MiB(uint64_t n) { return {n << 20}; }
constexpr Bytes GiB(uint64_t n) { return {n << 30}; }

// a * b, or nothing where that does not fit 64 bits.
std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b);
std::optional<uint64_t> checked_add(uint64_t a, uint64_t b);

// "512", "64KiB", "1.5GiB", "6GB" (decimal units are powers of ten), case and spaces ignored.
// Zero, negative, over 2^60 and anything else is kUsage.
[[nodiscard]] Result<Bytes> parse_bytes(std::string_view text);

// A budget: bytes as above, or "80%" of a total.
struct Budget {
  std::optional<Bytes> bytes;
  std::optional<double> fraction;  // 0 < fraction <= 1
  Bytes of(Bytes total) const;     // never more than total
};
[[nodiscard]] Result<Budget> parse_budget(std::string_view text);

// "1.5 GiB", "512 B": at most one decimal.
std::string format_bytes(Bytes bytes);

}  // namespace gantry
