// Cutting texts, by punctuation alone.
#include "pipe/script.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "model/text.h"

namespace gantry {

namespace {

constexpr size_t kSentenceMax = 400;  // bytes: half a minute; the first sound comes after it
constexpr size_t kNameMax = 40;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Letters and digits, of any script.
bool says_something(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x80 || std::isalnum(byte) != 0;
  });
}

// Where the piece that begins `text` ends: after a sentence, else before the limit.
size_t cut_of(std::string_view text) {
  for (size_t i = 0; i < text.size() && i < kSentenceMax; ++i) {
    const bool mark = text[i] == '.' || text[i] == '!' || text[i] == '?';
    if (mark && (i + 1 == text.size() || text[i + 1] == ' ') && says_something(text.substr(0, i))) {
      return i + 1;
    }
    // The full-width marks of Chinese and Japanese need no blank.
    for (const std::string_view wide : {"。", "！", "？"}) {
      if (text.substr(i).starts_with(wide)) return i + wide.size();
    }
  }
  if (text.size() <= kSentenceMax) return text.size();
  const std::string_view most = text.substr(0, kSentenceMax);
  for (const std::string_view mark : {", ", "; ", " "}) {
    const size_t at = most.rfind(mark);
    if (at != std::string_view::npos && at > 0) return at + mark.size() - 1;
  }
  size_t at = kSentenceMax;  // not within a character
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

std::string one_spaced(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!is_space(c)) out += c;
    else if (!out.empty() && out.back() != ' ') out += ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// A blank line ends a sentence, with or without a mark.
std::vector<std::string> paragraphs(std::string_view text) {
  std::vector<std::string> out(1);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (std::ranges::all_of(line, is_space)) {
      out.emplace_back();
    } else {
      out.back() += std::string(line) + " ";
    }
  }
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The name of "NAME: text", or nothing. A word or a few of them: no sentence, time or address.
std::string_view name_of(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon > kNameMax) return {};
  std::string_view name = line.substr(0, colon);
  const std::string_view rest = line.substr(colon + 1);
  if (rest.starts_with("//")) return {};
  if (is_digit(name.back()) && !rest.empty() && is_digit(rest.front())) return {};
  if (name.find_first_of(".,!?\"") != std::string_view::npos) return {};
  if (name.ends_with(' ')) name.remove_suffix(1);
  return name;
}

}  // namespace

Result<std::vector<std::string>> sentences(std::string_view text) {
  if (text.size() > kSpeakTextMax) {
    return fail(Code::kTooLarge,
                "a text of more than " + std::to_string(kSpeakTextMax) + " bytes is not spoken",
                "cut it into parts");
  }
  std::vector<std::string> out;
  for (const std::string& paragraph : paragraphs(text)) {
    const std::string spaced = one_spaced(paragraph);
    if (!is_clean_text(spaced)) {
      return fail(Code::kUsage, "the text is no UTF-8, or has control characters in it",
                  "save it as UTF-8");
    }
    std::string_view rest = spaced;
    const size_t first = out.size();
    while (!rest.empty()) {
      const size_t end = cut_of(rest);
      const std::string_view piece = rest.substr(0, end);
      rest.remove_prefix(end);
      if (rest.starts_with(' ')) rest.remove_prefix(1);
      if (says_something(piece)) {
        out.emplace_back(piece);
      } else if (out.size() > first && out.back().size() + piece.size() < kUtteranceMax) {
        out.back() += " " + std::string(piece);
      }
    }
  }
  if (!out.empty()) return out;
  return fail(Code::kUsage, "there is nothing to say", "give a text with words in it");
}

Result<std::vector<ScriptLine>> parse_script(std::string_view text) {
  std::vector<ScriptLine> out;
  std::set<std::string> names;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string line = one_spaced(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const std::string name(name_of(line));
    if (name.empty() && out.empty()) {
      return fail(Code::kUsage, "the script begins with a line without a name",
                  "write NAME: before what is said");
    }
    if (name.empty()) {
      out.back().text += "\n" + line;
      continue;
    }
    names.insert(name);
    if (names.size() > kScriptVoicesMax) {
      return fail(Code::kUsage, "the script has more than " + std::to_string(kScriptVoicesMax) +
                                    " speakers");
    }
    out.push_back({name, line.substr(line.find(':') + 1)});
  }
  if (out.empty()) return fail(Code::kUsage, "the script is empty", "write NAME: text");
  return out;
}

bool is_script(std::string_view text) {
  size_t lines = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string line = one_spaced(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (name_of(line).empty()) return false;
    ++lines;
  }
  return lines >= 2;
}

}  // namespace gantry
