// From a model's tokens, which may end within a character, to words and their times.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/segment.h"

namespace gantry {

struct HeardToken {
  std::string text;  // a blank at its front begins a word
  double probability = 0;
  Millis start{0}, end{0};  // where the model says so
};

enum class WordTimes {
  kTokens,   // the tokens' own
  kLetters,  // the stretch shared out by the words' lengths: for one utterance without a pause
};

struct Stretch {
  Millis start{0}, end{0};
};

// Words in order, within the stretch, none before the end of the one before. Without blanks between
// words (Chinese, Japanese, Thai ...) every token that ends with a character ends a word. Bytes
// that are no character become U+FFFD.
std::vector<Word> join_words(std::span<const HeardToken> tokens, bool blanks, Stretch stretch,
                             WordTimes times);

// Whether a language, by whisper's code, is written with blanks between words.
bool has_blanks(std::string_view language);

// Characters that are spoken: neither blanks nor ASCII's punctuation.
uint64_t letters_in(std::string_view text);

}  // namespace gantry
