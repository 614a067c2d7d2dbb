// Cutting text: nothing lost, nothing doubled, never inside a sentence that fits.
#include "pipe/cut.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace gantry {
namespace {

std::vector<std::string> texts(const std::vector<TextUnit>& units) {
  std::vector<std::string> out;
  for (const TextUnit& unit : units) out.emplace_back(unit.text);
  return out;
}

using Strings = std::vector<std::string>;

TEST(TextUnits, AreSentences) {
  EXPECT_EQ(texts(text_units("One is here. Two, e.g. this one, is too! Is three? Yes.")),
            (Strings{"One is here. ", "Two, e.g. this one, is too! ", "Is three? ", "Yes."}));
  EXPECT_EQ(texts(text_units("He said \"Go.\" Then 3.5 metres at www.x.org went by.")),
            (Strings{"He said \"Go.\" ", "Then 3.5 metres at www.x.org went by."}));
  EXPECT_EQ(texts(text_units("一。二！三")), (Strings{"一。", "二！", "三"}));
  EXPECT_TRUE(text_units("").empty());
}

TEST(TextUnits, KeepWrappedLinesTogetherAndListsApart) {
  const std::string prose =
      "This sentence was wrapped by an editor because it was too long\nfor its window. Next.";
  EXPECT_EQ(text_units(prose).size(), 2U);
  EXPECT_EQ(texts(text_units("- one\n- two\n\n1. three\n2. four")),
            (Strings{"- one\n", "- two\n\n", "1. three\n", "2. four"}));
  EXPECT_EQ(texts(text_units("turn on the light\nopen the door\n")),
            (Strings{"turn on the light\n", "open the door\n"}));
}

TEST(TextUnits, KnowWhoGoesOnSpeaking) {
  const std::vector<TextUnit> units =
      text_units("Anna: One. Two.\nspeaker 2: Three. Four.\n\nNobody says this. At 12:30 neither.");
  ASSERT_EQ(units.size(), 6U);
  EXPECT_EQ(units[0].speaker, "");
  EXPECT_EQ(units[1].speaker, "Anna:");
  EXPECT_EQ(units[2].speaker, "");
  EXPECT_EQ(units[3].speaker, "speaker 2:");
  EXPECT_EQ(units[4].speaker, "");
  EXPECT_EQ(units[5].speaker, "");
}

// Whatever the text: the units are the text, and pieces of them too.
TEST(TextUnits, LoseNothing) {
  Rng rng(7);
  const Strings alphabet = {"a", "B", " ", "  ", "\n", "\n\n", ".", "!", "?", ":", "- ", "1. ",
                            "é", "。", "x: ", "word ", "e.g. ", "\t", "\r\n", "😀", "\"", ")"};
  const CountTokens count = [](std::string_view text) -> Result<uint32_t> {
    return static_cast<uint32_t>(text.size() / 3 + 1);
  };
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const uint64_t length = rng.below(60);
    for (uint64_t i = 0; i < length; ++i) text += alphabet[rng.below(alphabet.size())];
    std::string again, pieces;
    for (const TextUnit& unit : text_units(text)) {
      again += unit.text;
      const uint32_t budget = static_cast<uint32_t>(1 + rng.below(6));
      const Result<std::vector<TextUnit>> cut = cut_unit(unit, budget, count);
      ASSERT_TRUE(cut);
      for (const TextUnit& piece : *cut) {
        pieces += piece.text;
        ASSERT_TRUE(valid_utf8(piece.text)) << text;
        // Only a single character may be more than the budget.
        ASSERT_TRUE(*count(piece.text) <= budget || piece.text.size() <= 4) << piece.text;
      }
    }
    ASSERT_EQ(again, text);
    ASSERT_EQ(pieces, text);
  }
}

TEST(CutUnit, CutsBetweenWordsAndSaysWhoSpeaks) {
  const CountTokens words = [](std::string_view text) -> Result<uint32_t> {
    return static_cast<uint32_t>(std::count(text.begin(), text.end(), ' ') + 1);
  };
  const auto cut = cut_unit({"Anna: one two three four five six", {}}, 4, words);
  ASSERT_TRUE(cut);
  ASSERT_GE(cut->size(), 2U);
  EXPECT_EQ((*cut)[0].speaker, "");
  EXPECT_EQ((*cut)[1].speaker, "Anna:");
  for (const TextUnit& piece : *cut) EXPECT_LE(*words(piece.text), 5U) << piece.text;
}

TEST(CutUnit, PassesOnWhatTheTokenizerSays) {
  const CountTokens broken = [](std::string_view) -> Result<uint32_t> {
    return fail(Code::kWorkerFailed, "gone");
  };
  EXPECT_EQ(cut_unit({"text", {}}, 4, broken).error().code, Code::kWorkerFailed);
}

TEST(PackUnits, FillsPartsInOrder) {
  using Sizes = std::vector<uint32_t>;
  EXPECT_EQ(pack_units(Sizes{3, 3, 3, 9, 1}, 6, 0), (Sizes{2, 1, 1, 1}));
  EXPECT_EQ(pack_units(Sizes{1, 1, 1, 1, 1}, 100, 2), (Sizes{2, 2, 1}));
  EXPECT_EQ(pack_units(Sizes{}, 6, 0), Sizes{});
  EXPECT_EQ(pack_units(Sizes{4'000'000'000, 4'000'000'000}, 4'100'000'000, 0), (Sizes{1, 1}));
}

TEST(ValidUtf8, KnowsBadSequences) {
  EXPECT_TRUE(valid_utf8("plain, \xc3\xa9, \xf0\x9f\x98\x80"));
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xff", "\xe2\x82"}) {
    EXPECT_FALSE(valid_utf8(bad));
  }
}

}  // namespace
}  // namespace gantry
