// Heads, read back by our own parser.
#include "model/synth_gguf.h"

#include <gtest/gtest.h>

#include "model/gguf.h"

namespace gantry {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(GgufHead, KeysAndTensorsComeBack) {
  GgufHead head;
  head.general("llama", "model", "a name", 7);
  head.set("a.number", 42U);
  head.set("a.float", 0.5F);
  head.set("a.flag", true);
  head.set("a.list", std::vector<uint32_t>{1, 2, 3});
  head.set("a.signs", std::vector<int32_t>{-1});
  head.set("a.words", std::vector<std::string>{"x", "", "yz"});
  SynthModel model;
  head.finish({{.name = "one", .shape = {32, 3}, .type = 2}, {.name = "two", .shape = {5}}},
              &model);
  EXPECT_EQ(model.parameters, 101U);
  std::string file = model.head;
  file.resize(model.bytes);
  const Result<Gguf> read = read_gguf(bytes_of(file));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->find("general.architecture")->text(), "llama");
  EXPECT_EQ(read->find("a.number")->whole(), 42U);
  EXPECT_EQ(read->find("a.flag")->flag(), true);
  EXPECT_EQ(read->find("a.list")->whole(2), 3U);
  EXPECT_EQ(read->find("a.words")->count, 3U);
  EXPECT_EQ(read->data_at, model.head.size());
  ASSERT_EQ(read->tensors.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read->tensors[i].name, model.tensors[i].name);
    EXPECT_EQ(read->data_at + read->tensors[i].offset, model.tensors[i].offset);
    EXPECT_EQ(read->tensors[i].bytes, model.tensors[i].bytes);
  }
  EXPECT_EQ(model.tensors[0].bytes, 54U);
  EXPECT_EQ(model.tensors[1].offset, model.tensors[0].offset + 64);
  EXPECT_EQ(model.bytes, model.tensors[1].offset + 32);
}

}  // namespace
}  // namespace gantry
