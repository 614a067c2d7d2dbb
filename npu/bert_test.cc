// The shipped model's graph, and the same file with one thing wrong.
#include "npu/bert.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace gantry {
namespace {

class BertTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream in(std::string(GANTRY_MODELS_DIR) + "/micro-embed-en.gguf", std::ios::binary);
    file.assign(std::istreambuf_iterator<char>(in), {});
    ASSERT_FALSE(file.empty());
  }
  void replace(const std::string& old, const std::string& fresh) {
    ASSERT_EQ(old.size(), fresh.size());
    const size_t at = file.find(old);
    ASSERT_NE(at, std::string::npos) << old;
    file.replace(at, old.size(), fresh);
  }
  // Of a u32 or f32: behind its key comes the type, then the value.
  template <class T>
  void set(const std::string& key, T value) {
    const size_t at = file.find(key);
    ASSERT_NE(at, std::string::npos) << key;
    std::memcpy(file.data() + at + key.size() + 4, &value, sizeof value);
  }
  Result<BertGraph> read() {
    return bert_graph({reinterpret_cast<const std::byte*>(file.data()), file.size()});
  }
  void refused(Code code, const std::string& part) {
    const auto graph = read();
    ASSERT_FALSE(graph) << part;
    EXPECT_EQ(graph.error().code, code) << graph.error().message;
    EXPECT_NE(graph.error().message.find(part), std::string::npos) << graph.error().message;
  }
  std::string file;
};

TEST_F(BertTest, TheShippedModel) {
  const auto graph = read();
  ASSERT_TRUE(graph) << describe(graph.error());
  EXPECT_EQ(graph->facts.layers, 3U);
  EXPECT_EQ(graph->facts.width, 96U);
  EXPECT_EQ(graph->facts.heads, 3U);
  EXPECT_EQ(graph->facts.context, 128U);
  EXPECT_EQ(graph->facts.pooling, Pooling::kMean);
  EXPECT_EQ(graph->model->inputs().size(), 2U);
  EXPECT_EQ(graph->model->output(0).get_partial_shape()[2], ov::Dimension(96));
}

TEST_F(BertTest, OtherPoolings) {
  set<uint32_t>("bert.pooling_type", 2);
  EXPECT_EQ(read()->facts.pooling, Pooling::kCls);
  set<uint32_t>("bert.pooling_type", 3);
  EXPECT_EQ(read()->facts.pooling, Pooling::kLast);
  set<uint32_t>("bert.pooling_type", 4);
  refused(Code::kUnsupported, "pooling type 4");
  set<uint32_t>("bert.pooling_type", 5);
  refused(Code::kCorrupt, "bert.pooling_type");
}

TEST_F(BertTest, KeysOutOfRange) {
  const std::string sound = file;
  const std::vector<std::pair<std::string, uint32_t>> wrong = {
      {"bert.block_count", 0},          {"bert.block_count", kBertLayersMax + 1},
      {"bert.embedding_length", 0},     {"bert.attention.head_count", 0},
      {"bert.attention.head_count", 5}, {"bert.feed_forward_length", 0},
      {"bert.context_length", 0}};
  for (const auto& [key, value] : wrong) {
    file = sound;
    set(key, value);
    refused(Code::kCorrupt, key);
  }
  file = sound;
  set("bert.attention.layer_norm_epsilon", -1.F);
  refused(Code::kCorrupt, "layer_norm_epsilon");
}

TEST_F(BertTest, TensorsThatDoNotFit) {
  const std::string sound = file;
  set<uint32_t>("bert.block_count", 4);
  refused(Code::kUnsupported, "blk.3.");
  file = sound;
  set<uint32_t>("bert.feed_forward_length", 128);
  refused(Code::kCorrupt, "ffn_up.weight");
  file = sound;
  replace("blk.1.ffn_up.weight", "blk.1.ffn_uq.weight");
  refused(Code::kUnsupported, "blk.1.ffn_up.weight is not in the file");
}

TEST_F(BertTest, OtherFiles) {
  replace("bert\x0c", "bart\x0c");  // the length of the next key follows
  refused(Code::kUnsupported, "bart");
  file.resize(file.size() / 2);
  EXPECT_FALSE(read());
  file.clear();
  EXPECT_FALSE(read());
}

}  // namespace
}  // namespace gantry
