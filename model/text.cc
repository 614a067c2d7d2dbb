// UTF-8 checking (RFC 3629) and replacement of what a terminal might obey.
#include "model/text.h"

#include <fmt/format.h>

#include <cstdint>

namespace gantry {

namespace {

bool is_forbidden(uint32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return true;  // C0, DEL, C1
  if (c >= 0x2028 && c <= 0x202E) return true;           // separators, direction overrides
  return c >= 0x2066 && c <= 0x2069;                     // direction isolates
}

// Length of the clean character at the front of text, 0 where there is none.
size_t clean_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  uint32_t c = length == 1 ? lead : lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    c = (c << 6) | (byte(i) & 0x3FU);
  }
  if (length == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))) return 0;
  if (length == 4 && (c < 0x10000 || c > 0x10FFFF)) return 0;
  return is_forbidden(c) ? 0 : length;
}

}  // namespace

bool is_clean_text(std::string_view text) {
  while (!text.empty()) {
    const size_t length = clean_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string clean_text(std::string_view text, size_t max) {
  std::string out;
  while (!text.empty()) {
    const size_t length = clean_length(text);
    const size_t step = length == 0 ? 1 : length;
    if (out.size() + step > max) return out + "...";
    if (length == 0) {
      out += '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(step);
  }
  return out;
}

std::string quoted(std::string_view text) { return fmt::format("'{}'", clean_text(text)); }

}  // namespace gantry
