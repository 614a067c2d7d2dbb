// Boundaries in text.
#include "pipe/cut.h"

#include <algorithm>

namespace gantry {

namespace {

constexpr size_t kLabelMax = 40;  // bytes of a speaker's name
constexpr size_t kWrappedMin = 50;  // a shorter line was ended on purpose, not by an editor
constexpr std::string_view kSpace = " \t\r\n";
// Full stops of scripts that write no space after them.
constexpr std::string_view kWideStops[] = {"\u3002", "\uff01", "\uff1f", "\u2026"};

// Bytes of the sequence that begins with `first`; 0: none does.
size_t sequence_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}

std::string_view line_at(std::string_view text, size_t at) {
  return text.substr(at, std::min(text.find('\n', at), text.size()) - at);
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(kSpace) == std::string_view::npos;
}

// "speaker 1:" at the start of a line, with the colon; a name is short, begins with a letter and
// has no punctuation. Times and addresses ("12:30", "http://x") are none.
std::string_view label_of(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon > kLabelMax) return {};
  if (colon + 1 < line.size() && line[colon + 1] != ' ') return {};
  const auto first = static_cast<unsigned char>(line[0]);
  if (first < 0x80 && std::isalpha(first) == 0) return {};
  if (line.substr(0, colon).find_first_of(".,;!?()\"/") != std::string_view::npos) return {};
  return line.substr(0, colon + 1);
}

bool is_item(std::string_view line) {
  const size_t at = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(at);
  if (line.starts_with("- ") || line.starts_with("* ") || line.starts_with("[")) return true;
  const size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
  return digits > 0 && digits <= 3 && (line.substr(digits).starts_with(". ") ||
                                       line.substr(digits).starts_with(") "));
}

// The end of the sentence that ends at `at` with the white space after it; 0: none ends there.
size_t sentence_end(std::string_view text, size_t at) {
  size_t end = 0;
  for (const std::string_view stop : kWideStops) {
    if (text.substr(at).starts_with(stop)) end = at + stop.size();
  }
  if (end == 0) {
    if (text[at] != '.' && text[at] != '!' && text[at] != '?') return 0;
    end = at + 1;
    while (end < text.size() && std::string_view(".!?\")'").find(text[end]) != text.npos) ++end;
    if (end < text.size() && kSpace.find(text[end]) == std::string_view::npos) return 0;
  }
  const size_t next = text.find_first_not_of(kSpace, end);
  if (next == std::string_view::npos) return text.size();
  // "e.g. this" goes on; a sentence begins with something else than a small letter.
  const bool goes_on = text[at] == '.' && std::islower(static_cast<unsigned char>(text[next])) != 0;
  return goes_on ? 0 : next;
}

size_t first_char(std::string_view text) {
  return std::min(text.size(), std::max<size_t>(1, sequence_length(
                                                       static_cast<unsigned char>(text[0]))));
}

}  // namespace

bool valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
    const size_t length = sequence_length(byte(0));
    if (length == 0 || at + length > text.size()) return false;
    for (size_t i = 1; i < length; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    if (byte(0) == 0xe0 && byte(1) < 0xa0) return false;   // overlong
    if (byte(0) == 0xed && byte(1) >= 0xa0) return false;  // surrogates
    if (byte(0) == 0xf0 && byte(1) < 0x90) return false;   // overlong
    if (byte(0) == 0xf4 && byte(1) >= 0x90) return false;  // beyond Unicode
    at += length;
  }
  return true;
}

std::vector<TextUnit> text_units(std::string_view text) {
  std::vector<TextUnit> units;
  std::string_view speaker;  // of the turn that goes on
  size_t begin = 0;
  const auto cut = [&](size_t end) {
    if (end <= begin) return;
    const std::string_view unit = text.substr(begin, end - begin);
    const std::string_view own = label_of(line_at(unit, 0));
    units.push_back({unit, own.empty() ? speaker : std::string_view{}});
    if (!own.empty()) speaker = own;
    begin = end;
  };
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\n') {
      const size_t next = at + 1;
      const std::string_view line = line_at(text, std::min(next, text.size()));
      const bool blank = next < text.size() && is_blank(line);
      const size_t line_begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
      const bool ended = at - line_begin < kWrappedMin;
      if (blank || ended || !label_of(line).empty() || is_item(line)) {
        const size_t word = std::min(text.find_first_not_of(kSpace, next), text.size());
        const size_t end = blank ? word : next;
        cut(end);
        if (blank) speaker = {};
        at = std::max(end, next);
        continue;
      }
    }
    if (const size_t end = sentence_end(text, at); end > 0) {
      // Blank lines among the white space end the turn as well.
      const std::string_view between = text.substr(at, end - at);
      const size_t newline = between.find('\n');
      cut(end);
      if (newline != between.npos && between.find('\n', newline + 1) != between.npos) speaker = {};
      at = end;
      continue;
    }
    ++at;
  }
  cut(text.size());
  return units;
}

Result<std::vector<TextUnit>> cut_unit(const TextUnit& unit, uint32_t budget,
                                       const CountTokens& count) {
  std::vector<TextUnit> pieces;
  std::string_view left = unit.text;
  std::string_view speaker = unit.speaker;
  const std::string_view own = label_of(line_at(unit.text, 0));
  while (!left.empty()) {
    Result<uint32_t> tokens = count(left);
    if (!tokens) return fail(tokens.error());
    size_t take = left.size();
    while (*tokens > budget && take > first_char(left)) {
      // In proportion, a little less; then back to the end of a word, or of a character.
      take = std::max<size_t>(first_char(left), take * budget / *tokens * 15 / 16);
      const size_t space = left.substr(0, take).find_last_of(kSpace);
      if (space != std::string_view::npos && space > 0) {
        take = space + 1;
      } else {
        while (take > first_char(left) && (static_cast<unsigned char>(left[take]) & 0xc0) == 0x80) {
          --take;
        }
      }
      tokens = count(left.substr(0, take));
      if (!tokens) return fail(tokens.error());
    }
    pieces.push_back({left.substr(0, take), speaker});
    if (!own.empty()) speaker = own;
    left.remove_prefix(take);
  }
  return pieces;
}

std::vector<uint32_t> pack_units(std::span<const uint32_t> tokens, uint32_t budget,
                                 uint32_t most) {
  std::vector<uint32_t> parts;
  uint64_t held = 0;
  for (const uint32_t n : tokens) {
    const bool fits = !parts.empty() && held + n <= budget && (most == 0 || parts.back() < most);
    if (fits) {
      ++parts.back();
      held += n;
    } else {
      parts.push_back(1);
      held = n;
    }
  }
  return parts;
}

}  // namespace gantry
