// Word error rate: how one transcript differs from another, word by word.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry {

// As transcripts are compared: small letters (ASCII), no punctuation but apostrophes and hyphens
// inside a word, parted by white space.
std::vector<std::string> words_of(std::string_view text);

struct WordEdit {
  size_t at = 0;            // before this word of the reference
  std::string said, heard;  // one is empty: left out, put in
};

struct WordErrors {
  size_t words = 0;  // of the reference
  size_t substituted = 0, deleted = 0, inserted = 0;
  std::vector<WordEdit> edits;  // in order

  size_t errors() const { return substituted + deleted + inserted; }
  // Of the reference's words, 0..; 0 where both are empty, 1 where the reference alone is.
  double rate() const;
};

// The fewest edits (Levenshtein, in a band that is doubled until it holds them). kTooLarge: the two
// differ so much that looking for it would take over 256 MiB.
[[nodiscard]] Result<WordErrors> compare_words(std::span<const std::string> reference,
                                               std::span<const std::string> heard);

}  // namespace gantry
