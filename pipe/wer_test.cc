// The fewest edits, against a plain table; words as transcripts are compared.
#include "pipe/wer.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace gantry {
namespace {

using Words = std::vector<std::string>;

TEST(WordsOf, LeavesCaseAndPunctuationOut) {
  EXPECT_EQ(words_of("Don't turn -- the 'well-known' Light on!  Zwei Äpfel, 3.5"),
            (Words{"don't", "turn", "the", "well-known", "light", "on", "zwei", "Äpfel", "35"}));
  EXPECT_TRUE(words_of(" ... ").empty());
}

size_t plain_distance(const Words& a, const Words& b) {
  std::vector<std::vector<size_t>> table(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        table[i][j] = i + j;
        continue;
      }
      table[i][j] = std::min({table[i - 1][j] + 1, table[i][j - 1] + 1,
                              table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
    }
  }
  return table[a.size()][b.size()];
}

TEST(CompareWords, FindsTheFewestEdits) {
  Rng rng(3);
  for (int round = 0; round < 3'000; ++round) {
    const uint64_t kinds = 1 + rng.below(5);
    const auto some = [&] {
      Words words(rng.below(90));
      for (std::string& word : words) word = "abcde"[rng.below(kinds)];
      return words;
    };
    const Words a = some(), b = some();
    const Result<WordErrors> got = compare_words(a, b);
    ASSERT_TRUE(got);
    ASSERT_EQ(got->errors(), plain_distance(a, b));
    ASSERT_EQ(got->words, a.size());
    ASSERT_EQ(got->edits.size(), got->errors());
    // The edits make one out of the other.
    Words made;
    size_t at = 0;
    for (const WordEdit& edit : got->edits) {
      for (; at < edit.at; ++at) made.push_back(a[at]);
      if (!edit.said.empty()) ++at;
      if (!edit.heard.empty()) made.push_back(edit.heard);
    }
    for (; at < a.size(); ++at) made.push_back(a[at]);
    ASSERT_EQ(made, b);
  }
}

TEST(CompareWords, TellsKindsApart) {
  const Result<WordErrors> got =
      compare_words(words_of("turn on the kitchen light"), words_of("turn the chicken light now"));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->substituted, 1U);
  EXPECT_EQ(got->deleted, 1U);
  EXPECT_EQ(got->inserted, 1U);
  EXPECT_DOUBLE_EQ(got->rate(), 0.6);
  EXPECT_EQ(got->edits[1].said, "kitchen");
  EXPECT_EQ(got->edits[1].heard, "chicken");
  EXPECT_DOUBLE_EQ(compare_words({}, {})->rate(), 0);
  EXPECT_DOUBLE_EQ(compare_words({}, words_of("x"))->rate(), 1);
}

TEST(CompareWords, LongTranscriptsThatAreNearlyTheSame) {
  Words a;
  Rng rng(5);
  for (int i = 0; i < 100'000; ++i) a.push_back(std::to_string(rng.below(5'000)));
  Words b = a;
  for (size_t i = 500; i < b.size(); i += 1'000) b[i] = "x";
  b.erase(b.begin() + 70'000, b.begin() + 70'010);
  const Result<WordErrors> got = compare_words(a, b);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->errors(), 110U);
  Words other(50'000, "y");
  EXPECT_EQ(compare_words(a, other).error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace gantry
