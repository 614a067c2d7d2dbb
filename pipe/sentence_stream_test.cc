// Sentences of a text that comes in pieces.
#include "pipe/sentence_stream.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

using Texts = std::vector<std::string>;

TEST(SentenceStream, ASentenceIsThereWithTheBlankBehindIt) {
  SentenceStream stream;
  EXPECT_EQ(stream.feed("Turn on"), Texts{});
  EXPECT_EQ(stream.feed(" the light."), Texts{});  // it may become 3.5
  EXPECT_EQ(stream.feed(" Then"), Texts{"Turn on the light."});
  EXPECT_EQ(stream.feed(" wait 3.5 hours! Now?\nYes"), (Texts{"Then wait 3.5 hours!", "Now?"}));
  EXPECT_EQ(stream.finish(), Texts{"Yes"});
  EXPECT_EQ(stream.finish(), Texts{});
}

TEST(SentenceStream, HoweverItIsCutTheSentencesAreTheSame) {
  const std::string text = "- one, two\n- three.\n\nFour! Five? \xe5\x85\xad\xe3\x80\x82Seven";
  Texts whole;
  for (size_t step = 1; step <= text.size(); ++step) {
    SentenceStream stream;
    Texts got;
    for (size_t at = 0; at < text.size(); at += step) {
      for (auto& s : stream.feed(std::string_view(text).substr(at, step))) got.push_back(s);
    }
    for (auto& s : stream.finish()) got.push_back(s);
    if (whole.empty()) whole = got;
    EXPECT_EQ(got, whole) << step;
  }
  EXPECT_EQ(whole, (Texts{"- one, two", "- three.", "Four!", "Five?", "\xe5\x85\xad\xe3\x80\x82",
                          "Seven"}));
}

TEST(SentenceStream, WhatSaysNothingIsLeftOut) {
  SentenceStream stream;
  EXPECT_EQ(stream.feed("- \n---\n\n"), Texts{});
  EXPECT_EQ(stream.feed("\xff\xfe broken. Whole. x"), Texts{});  // no UTF-8 before the last mark
  EXPECT_EQ(stream.finish(), Texts{"x"});
}

}  // namespace
}  // namespace gantry
