// Folders as sentence-transformers write them, and wrong ones.
#include "npu/folder.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    put("openvino_model.xml", "x");
    put("openvino_tokenizer.xml", "x");
  }
  void put(const std::string& name, const std::string& text) { os.files["/m/" + name] = text; }
  Result<EmbedFolder> read() { return read_embed_folder(os, "/m"); }
  void refused(Code code, const std::string& part) {
    const auto folder = read();
    ASSERT_FALSE(folder);
    EXPECT_EQ(folder.error().code, code);
    EXPECT_NE(folder.error().message.find(part), std::string::npos) << folder.error().message;
  }
  FakeOs os;
};

TEST_F(FolderTest, WithoutWordsTheMeanOfLengthOne) {
  const auto folder = read();
  ASSERT_TRUE(folder) << describe(folder.error());
  EXPECT_EQ(folder->pooling, Pooling::kMean);
  EXPECT_TRUE(folder->normalize);
  EXPECT_EQ(folder->tokens_max, kEmbedTokensMax);
  EXPECT_EQ(folder->model, "/m/openvino_model.xml");
}

TEST_F(FolderTest, AsBgeIs) {
  put("1_Pooling/config.json",
      R"({"word_embedding_dimension": 384, "pooling_mode_cls_token": true,
          "pooling_mode_mean_tokens": false})");
  put("modules.json", R"([{"idx": 0, "type": "sentence_transformers.models.Transformer"},
                          {"idx": 1, "type": "sentence_transformers.models.Pooling"},
                          {"idx": 2, "type": "sentence_transformers.models.Normalize"}])");
  put("config.json", R"({"max_position_embeddings": 512})");
  put("tokenizer_config.json", R"({"model_max_length": 1e30})");
  auto folder = read();
  ASSERT_TRUE(folder) << describe(folder.error());
  EXPECT_EQ(folder->pooling, Pooling::kCls);
  EXPECT_TRUE(folder->normalize);
  EXPECT_EQ(folder->tokens_max, 512U);
  put("sentence_bert_config.json", R"({"max_seq_length": 256})");
  put("modules.json", R"([{"type": "sentence_transformers.models.Transformer"}])");
  folder = read();
  EXPECT_EQ(folder->tokens_max, 256U);
  EXPECT_FALSE(folder->normalize);
}

TEST_F(FolderTest, PlacesOfRobertaBeginAfterItsPadding) {
  put("config.json", R"({"model_type": "xlm-roberta", "max_position_embeddings": 514})");
  EXPECT_EQ(read()->tokens_max, 512U);
  put("config.json",
      R"({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 3})");
  EXPECT_EQ(read()->tokens_max, 510U);
  put("config.json",
      R"({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 3})");
  EXPECT_EQ(read()->tokens_max, 512U);
  put("config.json", R"({"model_type": "bert", "max_position_embeddings": 514,
                         "pad_token_id": 1})");
  EXPECT_EQ(read()->tokens_max, 514U);
  put("config.json", R"({"model_type": 5, "max_position_embeddings": 514})");
  EXPECT_EQ(read()->tokens_max, 514U);
  put("config.json", R"({"model_type": "roberta", "max_position_embeddings": 2})");
  refused(Code::kCorrupt, "max_position_embeddings");
}

TEST_F(FolderTest, WrongFilesAreNamed) {
  put("modules.json", "{");
  refused(Code::kCorrupt, "/m/modules.json is not JSON");
  put("modules.json", "{}");
  refused(Code::kCorrupt, "want a list");
  put("modules.json", R"([{"type": 3}])");
  refused(Code::kCorrupt, "a module has no type");
  put("modules.json", R"([{"type": "sentence_transformers.models.Dense"}])");
  refused(Code::kUnsupported, "Dense");
  put("modules.json", "[]");
  put("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  refused(Code::kUnsupported, "pooling_mode_max_tokens");
  put("1_Pooling/config.json",
      R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})");
  refused(Code::kUnsupported, "pooling_mode_mean_tokens");
  put("1_Pooling/config.json", "{}");
  refused(Code::kCorrupt, "no pooling_mode");
  put("1_Pooling/config.json", "[]");
  refused(Code::kCorrupt, "want an object");
  os.files.erase("/m/1_Pooling/config.json");
  for (const char* limit : {"\"x\"", "0", "-4"}) {
    put("config.json", std::string(R"({"max_position_embeddings": )") + limit + "}");
    refused(Code::kCorrupt, "max_position_embeddings");
  }
  os.files.erase("/m/openvino_tokenizer.xml");
  refused(Code::kNotFound, "openvino_tokenizer.xml");
}

}  // namespace
}  // namespace gantry
