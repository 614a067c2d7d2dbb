// Alignment of two lists of words.
#include "pipe/wer.h"

#include <algorithm>
#include <array>
#include <limits>

namespace gantry {

namespace {

constexpr size_t kCellsMax = 256U << 20;  // a byte each
constexpr size_t kBandMin = 32;
enum Move : uint8_t { kKeep, kSubstitute, kDelete, kInsert };

using Words = std::span<const std::string>;

// The cheapest way through a band of so many words to both sides of the diagonal, as moves from the
// end; empty where the distance is larger than the band can be sure of.
std::vector<Move> way_in_band(Words a, Words b, size_t band) {
  constexpr uint32_t kFar = std::numeric_limits<uint32_t>::max() / 2;
  const size_t width = 2 * band + 1;
  // Cell (i, j) lies at column j - i + band of row i.
  std::vector<uint8_t> moves((a.size() + 1) * width, kKeep);
  std::vector<uint32_t> before(width, kFar), now(width, kFar);
  for (size_t i = 0; i <= a.size(); ++i) {
    std::ranges::fill(now, kFar);
    for (size_t column = 0; column < width; ++column) {
      if (i + column < band || i + column - band > b.size()) continue;
      const size_t j = i + column - band;
      std::array<uint32_t, 4> cost = {kFar, kFar, kFar, kFar};
      if (i > 0 && j > 0) {
        (a[i - 1] == b[j - 1] ? cost[kKeep] : cost[kSubstitute]) =
            before[column] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      }
      if (i > 0 && column + 1 < width) cost[kDelete] = before[column + 1] + 1;
      if (j > 0 && column > 0) cost[kInsert] = now[column - 1] + 1;
      const auto best = std::ranges::min_element(cost);
      now[column] = i == 0 && j == 0 ? 0 : *best;
      moves[i * width + column] = static_cast<uint8_t>(best - cost.begin());
    }
    std::swap(before, now);
  }
  const size_t last = b.size() + band - a.size();
  if (before[last] > band) return {};
  std::vector<Move> way;
  for (size_t i = a.size(), j = b.size(); i > 0 || j > 0;) {
    const Move move = static_cast<Move>(moves[i * width + (j + band - i)]);
    way.push_back(move);
    if (move != kInsert) --i;
    if (move != kDelete) --j;
  }
  return way;
}

void count(Words reference, Words heard, const std::vector<Move>& way, WordErrors* out) {
  size_t i = 0, j = 0;
  for (auto move = way.rbegin(); move != way.rend(); ++move) {
    switch (*move) {
      case kKeep: ++i, ++j; break;
      case kSubstitute:
        ++out->substituted;
        out->edits.push_back({i, reference[i], heard[j]});
        ++i, ++j;
        break;
      case kDelete:
        ++out->deleted;
        out->edits.push_back({i, reference[i], {}});
        ++i;
        break;
      case kInsert:
        ++out->inserted;
        out->edits.push_back({i, {}, heard[j]});
        ++j;
        break;
    }
  }
}

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || std::isalnum(byte) != 0;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    while (!word.empty() && (word.back() == '\'' || word.back() == '-')) word.pop_back();
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (const char c : text) {
    if (is_word_byte(c)) {
      word += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    } else if ((c == '\'' || c == '-') && !word.empty()) {
      word += c;
    } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      end_word();
    }
  }
  end_word();
  return words;
}

double WordErrors::rate() const {
  if (words == 0) return errors() == 0 ? 0 : 1;
  return static_cast<double>(errors()) / static_cast<double>(words);
}

Result<WordErrors> compare_words(Words reference, Words heard) {
  WordErrors out;
  out.words = reference.size();
  const size_t longer = std::max(reference.size(), heard.size());
  const size_t apart = longer - std::min(reference.size(), heard.size());
  for (size_t band = std::max(kBandMin, apart);; band *= 2) {
    band = std::min(band, std::max<size_t>(longer, 1));
    if ((reference.size() + 1) * (2 * band + 1) > kCellsMax) {
      return fail(Code::kTooLarge, "the two differ too much to be laid side by side",
                  "compare shorter parts");
    }
    const std::vector<Move> way = way_in_band(reference, heard, band);
    if (way.empty() && longer > 0) continue;
    count(reference, heard, way, &out);
    return out;
  }
}

}  // namespace gantry
