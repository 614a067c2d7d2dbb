// Tests of choosing models by name.
#include "serve/select.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

std::vector<ModelStatus> table() {
  std::vector<ModelStatus> models(2);
  models[0].name = "org/chat.gguf";
  models[0].kind = "language";
  models[1].name = "ears";
  models[1].kind = "speech";
  return models;
}

const Use kChat = {"/v1/chat/completions", {"language"}};

TEST(Select, PathsAndNames) {
  for (const char* path : {"/x", "./x", "../x", "~/x", "a/../b", "a\\b", "x.gguf", "y.bin",
                           "file:///x", "a\nb", "."}) {
    EXPECT_TRUE(looks_like_path(path)) << path;
  }
  for (const char* name : {"llama3:8b@Q4_K_M", "org/model", "micro-asr", "a.b"}) {
    EXPECT_FALSE(looks_like_path(name)) << name;
  }
}

TEST(Select, AKnownNameIsNoPath) {
  EXPECT_FALSE(refuse_name(table(), "org/chat.gguf", kChat, false));
  EXPECT_TRUE(refuse_name(table(), "org/other.gguf", kChat, false));
  EXPECT_FALSE(refuse_name(table(), "org/other.gguf", kChat, true));
}

TEST(Select, NameLengthAtNAndNPlusOne) {
  EXPECT_FALSE(refuse_name(table(), std::string(512, 'a'), kChat, false));
  EXPECT_TRUE(refuse_name(table(), std::string(513, 'a'), kChat, false));
}

TEST(Select, TheWrongKindNamesTheRightEndpoint) {
  const auto error = refuse_name(table(), "ears", kChat, true);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, 400);
  EXPECT_NE(error->message.find("/v1/audio/transcriptions"), std::string::npos);
  EXPECT_FALSE(refuse_kind(table(), "nobody knows", kChat));
}

TEST(Select, AnUnknownModelListsTheKnown) {
  const auto error = open_error({Code::kNotFound, "", ""}, table(), "x\x1b[2J");
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_NE(error.message.find("org/chat.gguf, ears"), std::string::npos);
  EXPECT_EQ(error.message.find('\x1b'), std::string::npos);
  EXPECT_EQ(open_error({Code::kDoesNotFit, "m", ""}, table(), "x").status, 507);
}

}  // namespace
}  // namespace gantry
