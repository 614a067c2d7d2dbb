// Cards of real files, and errors that name the file.
#include "worker/card_reader.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "worker/test_bench.h"

namespace gantry {
namespace {

TEST(CardReader, PrintsOneOrTwoCards) {
  const std::string model = model_file("micro-vision.gguf");
  const std::string mmproj = model_file("micro-vision-mmproj.gguf");
  if (!exists(model) || !exists(mmproj)) GTEST_SKIP() << "the micro models are not there";
  const Result<std::string> one = read_cards(model, "");
  ASSERT_TRUE(one) << one.error().message;
  const nlohmann::json card = nlohmann::json::parse(*one);
  EXPECT_EQ(card["architecture"], "llama");
  const Result<std::string> two = read_cards(model, mmproj);
  ASSERT_TRUE(two) << two.error().message;
  const nlohmann::json both = nlohmann::json::parse(*two);
  EXPECT_EQ(both["model"], card);
  EXPECT_EQ(both["mmproj"]["architecture"], "clip");
}

TEST(CardReader, ErrorsNameTheFile) {
  const TestFolder folder;
  EXPECT_EQ(read_cards(folder.file("none.gguf"), "").error().code, Code::kNotFound);
  const Result<std::string> bad = read_cards(folder.write("bad.gguf", "GGUFxxxx"), "");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("bad.gguf"), std::string::npos);
  EXPECT_FALSE(read_cards(folder.write("empty.gguf", ""), ""));
}

}  // namespace
}  // namespace gantry
