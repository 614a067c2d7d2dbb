// The shipped model's vocabulary, and an OpenVINO tokenizer that was converted from Hugging Face's.
#include "npu/tokenizer.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Tokenizer, CutKeepsTheLastMark) {
  EXPECT_EQ(truncated({2, 7, 8, 9, 3}, 5).ids, (std::vector<int64_t>{2, 7, 8, 9, 3}));
  EXPECT_FALSE(truncated({2, 7, 8, 9, 3}, 5).truncated);
  EXPECT_EQ(truncated({2, 7, 8, 9, 3}, 4).ids, (std::vector<int64_t>{2, 7, 8, 3}));
  EXPECT_TRUE(truncated({2, 7, 8, 9, 3}, 4).truncated);
  EXPECT_TRUE(truncated({}, 4).ids.empty());
}

TEST(Tokenizer, TheShippedVocabulary) {
  const auto tokenizer =
      open_gguf_tokenizer(std::string(GANTRY_MODELS_DIR) + "/micro-embed-en.gguf");
  ASSERT_TRUE(tokenizer) << describe(tokenizer.error());
  const auto empty = (*tokenizer)->encode("", 128);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->ids, (std::vector<int64_t>{2, 3}));  // [CLS] [SEP]
  const auto upper = (*tokenizer)->encode("OPEN the Door", 128);
  const auto lower = (*tokenizer)->encode("open the door", 128);
  EXPECT_EQ(upper->ids, lower->ids);
  EXPECT_EQ((*tokenizer)->encode(std::string(5000, '!'), 128)->ids.size(), 128U);
  EXPECT_TRUE((*tokenizer)->encode("\xF0\x9F\x8E\x89 \xE4\xBD\xA0", 128));
  EXPECT_EQ(open_gguf_tokenizer("/none.gguf").error().code, Code::kCorrupt);
}

class OvTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = OvCore::open(*os, {.extension = GANTRY_OPENVINO_TOKENIZERS});
    ASSERT_TRUE(opened) << describe(opened.error());
    core = std::move(*opened);
    const std::string file = std::string(GANTRY_TESTDATA_DIR) + "/tiny-bert/openvino_tokenizer.xml";
    auto tok = open_ov_tokenizer(*core, file);
    ASSERT_TRUE(tok) << describe(tok.error());
    tokenizer = std::move(*tok);
  }
  std::unique_ptr<Os> os = make_real_os();
  std::unique_ptr<OvCore> core;
  std::unique_ptr<TextTokenizer> tokenizer;
};

// Numbers: what transformers' BertTokenizerFast says of the same vocabulary.
TEST_F(OvTokenizerTest, AsHuggingFacesOwn) {
  EXPECT_EQ(tokenizer->encode("Time to make some water!", 512)->ids,
            (std::vector<int64_t>{2, 130, 112, 131, 132, 129, 41, 3}));
}

TEST_F(OvTokenizerTest, TooLongIsKnown) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "the ";
  const auto all = tokenizer->encode(text, 10'000);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->ids.size(), 602U);
  const auto cut = tokenizer->encode(text, 512);
  EXPECT_EQ(cut->ids.size(), 512U);
  EXPECT_TRUE(cut->truncated);
  EXPECT_EQ(cut->ids.back(), all->ids.back());
}

}  // namespace
}  // namespace gantry
