// Joins tokens at blanks, mends what is no UTF-8, and puts times in order.
#include "worker/words.h"

#include <algorithm>
#include <array>

namespace gantry {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Bytes of the character at the front; 0: there is none, or not all of it.
size_t character_at_front(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return 1;
  const size_t size = first >= 0xF5   ? 0
                      : first >= 0xF0 ? 4
                      : first >= 0xE0 ? 3
                      : first >= 0xC2 ? 2
                                      : 0;
  if (size == 0 || size > text.size()) return 0;
  if (!std::ranges::all_of(text.substr(1, size - 1), continues)) return 0;
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool none = (first == 0xED && second >= 0xA0) || (first == 0xF4 && second >= 0x90);
  return overlong || none ? 0 : size;
}

bool is_whole(std::string_view text) {
  while (!text.empty()) {
    const size_t size = character_at_front(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string mended(std::string_view text) {
  std::string out;
  bool broken = false;
  while (!text.empty()) {
    const size_t size = character_at_front(text);
    if (size > 0) out += text.substr(0, size);
    if (size == 0 && !broken) out += kReplacement;  // one for all bytes of a broken character
    broken = size == 0;
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

std::string_view without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// The stretch by length: each word its letters, and one for passing on to the next.
void share_out(Stretch stretch, std::vector<Word>* words) {
  uint64_t all = 0, before = 0;
  for (const Word& word : *words) all += letters_in(word.text) + 1;
  const auto span = static_cast<uint64_t>((stretch.end - stretch.start).count());
  const auto at = [&](uint64_t part) {
    return stretch.start + Millis(static_cast<int64_t>(span * part / all));
  };
  for (Word& word : *words) {
    word.start = at(before);
    before += letters_in(word.text) + 1;
    word.end = at(before);
  }
}

void put_in_order(Stretch stretch, std::vector<Word>* words) {
  Millis last = stretch.start;
  for (Word& word : *words) {
    word.start = std::clamp(word.start, last, stretch.end);
    word.end = std::clamp(word.end, word.start, stretch.end);
    last = word.end;
  }
}

}  // namespace

std::vector<Word> join_words(std::span<const HeardToken> tokens, bool blanks, Stretch stretch,
                             WordTimes times) {
  std::vector<Word> words;
  Word word;
  int joined = 0;
  const auto finish = [&] {
    word.text = mended(without_blanks(word.text));
    word.probability = joined == 0 ? 0 : std::clamp(word.probability / joined, 0.0, 1.0);
    if (!word.text.empty()) words.push_back(word);
    word = {};
    joined = 0;
  };
  for (const HeardToken& token : tokens) {
    const bool begins = token.text.starts_with(' ') || (!blanks && is_whole(word.text));
    if (begins && joined > 0) finish();
    if (joined == 0) word.start = token.start;
    word.end = token.end;
    word.text += token.text;
    word.probability += token.probability;
    ++joined;
  }
  finish();
  if (times == WordTimes::kLetters) share_out(stretch, &words);
  put_in_order(stretch, &words);
  return words;
}

bool has_blanks(std::string_view language) {
  constexpr std::array<std::string_view, 7> kWithout = {"zh", "ja", "th", "lo", "my", "yue", "km"};
  return std::ranges::find(kWithout, language) == kWithout.end();
}

uint64_t letters_in(std::string_view text) {
  constexpr std::string_view kNotSpoken = " \t\r\n!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
  return static_cast<uint64_t>(std::ranges::count_if(text, [&](char c) {
    return !continues(c) && kNotSpoken.find(c) == std::string_view::npos;
  }));
}

}  // namespace gantry
