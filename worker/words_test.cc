// Tokens as whisper gives them: words in pieces, characters in pieces, times out of order.
#include "worker/words.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

std::vector<HeardToken> tokens_of(const std::vector<std::string>& texts) {
  std::vector<HeardToken> tokens;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto at = Millis(static_cast<int64_t>(100 * i));
    tokens.push_back({texts[i], 0.5, at, at + Millis(100)});
  }
  return tokens;
}

std::vector<std::string> texts_of(const std::vector<Word>& words) {
  std::vector<std::string> out;
  for (const Word& word : words) out.push_back(word.text);
  return out;
}

const Stretch kAll{Millis(0), Millis(10'000)};

std::vector<std::string> joined(const std::vector<std::string>& texts, bool blanks = true) {
  return texts_of(join_words(tokens_of(texts), blanks, kAll, WordTimes::kTokens));
}

TEST(Words, BeginAtBlanks) {
  EXPECT_EQ(joined({" turn", " on", " the", " kit", "chen", " light", "."}),
            (std::vector<std::string>{"turn", "on", "the", "kitchen", "light."}));
  EXPECT_EQ(joined({"no", "body", " there"}), (std::vector<std::string>{"nobody", "there"}));
  EXPECT_EQ(joined({" ", "x", " ", " "}), (std::vector<std::string>{"x"}));
  EXPECT_TRUE(joined({}).empty());
  EXPECT_TRUE(joined({" ", "", " "}).empty());
}

TEST(Words, CharactersInPiecesStayWhole) {
  // U+00FC in two tokens, U+1F600 in three.
  EXPECT_EQ(joined({" f", "\xC3", "\xBC", "r", " \xF0\x9F", "\x98", "\x80"}),
            (std::vector<std::string>{"f\xC3\xBCr", "\xF0\x9F\x98\x80"}));
  // What never becomes one is replaced, once.
  EXPECT_EQ(joined({" a\xE2\x82", " b"}), (std::vector<std::string>{"a\xEF\xBF\xBD", "b"}));
  EXPECT_EQ(joined({"\xFF\xFE\x80z"}), (std::vector<std::string>{"\xEF\xBF\xBDz"}));
  EXPECT_EQ(joined({"\xED\xA0\x80"}), (std::vector<std::string>{"\xEF\xBF\xBD"}));  // a surrogate
  EXPECT_EQ(joined({"\xC0\xAF"}), (std::vector<std::string>{"\xEF\xBF\xBD"}));      // overlong
}

TEST(Words, WithoutBlanksACharacterEndsOne) {
  // Two characters of three bytes; the second comes in two tokens.
  EXPECT_EQ(joined({"\xE4\xBD\xA0", "\xE5\xA5", "\xBD"}, false),
            (std::vector<std::string>{"\xE4\xBD\xA0", "\xE5\xA5\xBD"}));
  EXPECT_FALSE(has_blanks("ja"));
  EXPECT_TRUE(has_blanks("en"));
  EXPECT_TRUE(has_blanks("ko"));
}

TEST(Words, ProbabilityIsTheMeanOfTheTokens) {
  std::vector<HeardToken> tokens = tokens_of({" kit", "chen", " x"});
  tokens[0].probability = 1;
  tokens[2].probability = 1.5;
  const std::vector<Word> words = join_words(tokens, true, kAll, WordTimes::kTokens);
  EXPECT_DOUBLE_EQ(words[0].probability, 0.75);
  EXPECT_DOUBLE_EQ(words[1].probability, 1);
}

TEST(Words, TimesAreInOrderAndWithinTheStretch) {
  std::vector<HeardToken> tokens = tokens_of({" a", " b", " c", " d"});
  tokens[0].start = Millis(-50);
  tokens[1].start = Millis(5000);
  tokens[1].end = Millis(4000);
  tokens[2].start = Millis(100);
  tokens[3].end = Millis(99'999);
  Millis last(20);
  for (const Word& word :
       join_words(tokens, true, {Millis(20), Millis(3000)}, WordTimes::kTokens)) {
    EXPECT_GE(word.start, last) << word.text;
    EXPECT_GE(word.end, word.start) << word.text;
    EXPECT_LE(word.end, Millis(3000)) << word.text;
    last = word.end;
  }
}

TEST(Words, AnUtteranceIsSharedOutByLetters) {
  const std::vector<Word> words = join_words(tokens_of({" stop", " the", " radio"}), true,
                                             {Millis(100), Millis(1600)}, WordTimes::kLetters);
  ASSERT_EQ(words.size(), 3U);
  EXPECT_EQ(words[0].start, Millis(100));
  EXPECT_EQ(words[0].end, Millis(600));  // five of fifteen
  EXPECT_EQ(words[1].start, Millis(600));
  EXPECT_EQ(words[1].end, Millis(1000));
  EXPECT_EQ(words[2].end, Millis(1600));
}

TEST(Words, LettersAreWhatIsSpoken) {
  EXPECT_EQ(letters_in("Don't stop - now!"), 11U);
  EXPECT_EQ(letters_in("f\xC3\xBCr"), 3U);
  EXPECT_EQ(letters_in("... "), 0U);
  EXPECT_EQ(letters_in(""), 0U);
}

}  // namespace
}  // namespace gantry
