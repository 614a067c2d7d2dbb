// Cleaning of hostile text.
#include "model/text.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Text, AcceptsCharactersOfEveryLength) {
  EXPECT_TRUE(is_clean_text(""));
  EXPECT_TRUE(is_clean_text("blk.0.attn_q.weight"));
  EXPECT_TRUE(is_clean_text("Zürich € 日本 😀"));
  EXPECT_TRUE(is_clean_text("\xEE\x80\x80\xF4\x8F\xBF\xBF"));  // first and last of their range
}

TEST(Text, RefusesWhatIsNotUtf8) {
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                          "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "a\xE2\x82", "\xFF"}) {
    EXPECT_FALSE(is_clean_text(bad)) << clean_text(bad);
  }
}

TEST(Text, RefusesWhatATerminalObeys) {
  EXPECT_FALSE(is_clean_text("\x1b[2J"));
  EXPECT_FALSE(is_clean_text(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_clean_text("\xC2\x9B"));      // C1 control sequence introducer
  EXPECT_TRUE(is_clean_text("\xC2\xA0"));       // the first after C1
  EXPECT_FALSE(is_clean_text("\xE2\x80\xAE"));  // right-to-left override
  EXPECT_TRUE(is_clean_text("\xE2\x80\xAF"));
}

TEST(Text, CleansByteByByteAndNeverCutsACharacter) {
  EXPECT_EQ(clean_text("a\x1b[31m\xFFz"), "a?[31m?z");
  EXPECT_EQ(clean_text("abcdef", 6), "abcdef");
  EXPECT_EQ(clean_text("abcdefg", 6), "abcdef...");
  EXPECT_EQ(clean_text("aü", 2), "a...");
  EXPECT_EQ(quoted("x\n"), "'x?'");
  EXPECT_TRUE(is_clean_text(clean_text(std::string(500, '\xE2'))));
}

}  // namespace
}  // namespace gantry
