// Where a long text may be cut: between sentences, turns of speakers, list items and paragraphs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry {

// A stretch of a text that is not to be cut.
struct TextUnit {
  std::string_view text;    // with the white space after it: all units together are the whole text
  std::string_view speaker;  // "speaker 1:" of the turn it goes on with; empty where it begins one
};

// True if every byte belongs to a valid UTF-8 sequence (no surrogates, nothing overlong).
bool valid_utf8(std::string_view text);

// Pure. The views are into `text`, which must be valid UTF-8.
std::vector<TextUnit> text_units(std::string_view text);

// A unit of more than `budget` tokens in pieces of at most so many, cut between words, or between
// characters where one word is too long. A single character is never cut.
using CountTokens = std::function<Result<uint32_t>(std::string_view)>;
[[nodiscard]] Result<std::vector<TextUnit>> cut_unit(const TextUnit& unit, uint32_t budget,
                                                     const CountTokens& count);

// How many of the units, from the first on, go into each part: as many as their tokens and `most`
// (0: no limit) allow, at least one.
std::vector<uint32_t> pack_units(std::span<const uint32_t> tokens, uint32_t budget, uint32_t most);

}  // namespace gantry
