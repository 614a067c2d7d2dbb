// Texts of every kind, cut so that nothing is lost.
#include "pipe/script.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

using Texts = std::vector<std::string>;

Texts cut(std::string_view text) {
  const Result<Texts> out = sentences(text);
  return out ? *out : Texts{"error: " + out.error().message};
}

TEST(Sentences, EndAtMarksAndParagraphs) {
  EXPECT_EQ(cut("One. Two!  Three?\nfour"), (Texts{"One.", "Two!", "Three?", "four"}));
  EXPECT_EQ(cut("No mark\n\nhere"), (Texts{"No mark", "here"}));
  EXPECT_EQ(cut("3.14 is pi. It is."), (Texts{"3.14 is pi.", "It is."}));
  EXPECT_EQ(cut("你好。再见！"), (Texts{"你好。", "再见！"}));
  EXPECT_EQ(cut("Wait ... what?"), (Texts{"Wait ...", "what?"}));
  EXPECT_EQ(cut("... - Yes."), (Texts{"... - Yes."}));
}

TEST(Sentences, LongOnesAreCutAtACommaABlankOrBetweenCharacters) {
  std::string words;
  for (int i = 0; i < 200; ++i) words += i % 20 == 19 ? "word, " : "word ";
  std::string joined;
  for (const std::string& piece : cut(words)) {
    EXPECT_LE(piece.size(), 400U);
    EXPECT_TRUE(piece.ends_with(',') || piece.ends_with("word")) << piece;
    joined += piece + " ";
  }
  EXPECT_EQ(joined, words);
  std::string wide;
  for (int i = 0; i < 500; ++i) wide += "ü";
  joined.clear();
  for (const std::string& piece : cut(wide)) {
    EXPECT_EQ(piece.size() % 2, 0U);  // no half character
    joined += piece;
  }
  EXPECT_EQ(joined, wide);
}

TEST(Sentences, EveryUtteranceIsOneThatAWorkerTakes) {
  for (const Texts& texts : {cut(std::string(kSpeakTextMax, 'a')),
                             cut("a." + std::string(kSpeakTextMax - 2, '.'))}) {
    for (const std::string& text : texts) EXPECT_LE(text.size(), kUtteranceMax);
  }
}

TEST(Sentences, WhatCannotBeSaid) {
  const auto code = [](std::string_view text) {
    const Result<Texts> out = sentences(text);
    return out ? Code::kInternal : out.error().code;
  };
  EXPECT_EQ(code(""), Code::kUsage);
  EXPECT_EQ(code(" \n\t - ... !"), Code::kUsage);
  EXPECT_EQ(code("caf\xe9"), Code::kUsage);
  EXPECT_EQ(code("bell\a"), Code::kUsage);
  EXPECT_EQ(code(std::string(kSpeakTextMax, 'a')), Code::kInternal);
  EXPECT_EQ(code(std::string(kSpeakTextMax + 1, 'a')), Code::kTooLarge);
}

TEST(Script, NamesAndWhatTheySay) {
  const auto lines = parse_script("anna: Hello.\nbob : Hi: you.\n\nand more\nanna:12:30\n");
  ASSERT_TRUE(lines) << lines.error().message;
  ASSERT_EQ(lines->size(), 3U);
  EXPECT_EQ((*lines)[0].speaker, "anna");
  EXPECT_EQ((*lines)[1].text, " Hi: you.\nand more");
  EXPECT_EQ((*lines)[2].text, "12:30");
}

TEST(Script, FourSpeakersAndNotFive) {
  std::string text;
  for (const char* name : {"a", "b", "c", "d", "a"}) text += std::string(name) + ": x\n";
  EXPECT_TRUE(parse_script(text));
  const auto five = parse_script(text + "e: x\n");
  ASSERT_FALSE(five);
  EXPECT_EQ(five.error().code, Code::kUsage);
  EXPECT_FALSE(parse_script(""));
  EXPECT_FALSE(parse_script("no name\na: x\n"));
}

TEST(Script, WhatLooksLikeOne) {
  EXPECT_TRUE(is_script("anna: x\n\nbob: y\n"));
  for (const char* none : {"", "anna: x\n", "anna: x\nplain\n", "at 12:30\nb: x\n",
                           "see http://x\na: b\n", "He said. So: x\na: b\n"}) {
    EXPECT_FALSE(is_script(none)) << none;
  }
}

}  // namespace
}  // namespace gantry
