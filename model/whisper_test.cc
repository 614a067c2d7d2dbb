// The whisper parser on right files of every weight type, and cut at every byte.
#include "model/whisper.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/forge_whisper.h"

namespace gantry {
namespace {

TEST(Whisper, ReadsShapeTokensAndTensors) {
  const std::string file = forge_whisper(1, 2, 3).bytes();
  const Result<WhisperFile> whisper = read_whisper(as_bytes(file));
  ASSERT_TRUE(whisper) << whisper.error().message;
  EXPECT_EQ(whisper->shape.vocab, 8U);
  EXPECT_EQ(whisper->shape.audio_layers, 2U);
  EXPECT_EQ(whisper->shape.text_layers, 3U);
  EXPECT_EQ(whisper->tokens, 4U);
  EXPECT_EQ(whisper->weight_type, 1U);
  ASSERT_EQ(whisper->tensors.size(), 11 + 2 * 15 + 3 * 24U);
  EXPECT_EQ(whisper->tensors[0].name, "encoder.positional_embedding");
  EXPECT_EQ(whisper->tensors[0].bytes, 32 * 6 * 4U);
}

TEST(Whisper, ReadsEveryWeightType) {
  for (const int32_t type : {0, 1, 2, 3, 6, 7, 8}) {
    const std::string file = forge_whisper(type).bytes();
    const Result<WhisperFile> whisper = read_whisper(as_bytes(file));
    ASSERT_TRUE(whisper) << type << ": " << whisper.error().message;
    EXPECT_EQ(whisper->weight_type, static_cast<uint32_t>(type));
  }
}

TEST(Whisper, KnowsTheTensorsOfAShape) {
  const std::string file = forge_whisper(8, 2, 3).bytes();
  const Result<WhisperFile> whisper = read_whisper(as_bytes(file));
  ASSERT_TRUE(whisper);
  std::deque<std::string> names;
  const std::vector<WhisperTensor> known = whisper_tensors(whisper->shape, 8, &names);
  ASSERT_EQ(known.size(), whisper->tensors.size());
  for (const WhisperTensor& tensor : known) {
    const auto same = std::ranges::find(whisper->tensors, tensor.name, &WhisperTensor::name);
    ASSERT_NE(same, whisper->tensors.end()) << tensor.name;
    EXPECT_EQ(same->type, tensor.type) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(same->bytes, tensor.bytes) << tensor.name;
  }
}

TEST(Whisper, TensorsMayComeInAnyOrder) {
  WhisperForge forge = forge_whisper();
  std::swap(forge.tensors.front(), forge.tensors.back());
  EXPECT_TRUE(read_whisper(as_bytes(forge.bytes())));
}

TEST(Whisper, RefusesAFileCutAtAnyByte) {
  const std::string whole = forge_whisper(8).bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);  // its own allocation, so that ASan sees reads
    const Result<WhisperFile> whisper = read_whisper(as_bytes(cut));
    ASSERT_FALSE(whisper) << size;
    EXPECT_EQ(whisper.error().code, Code::kCorrupt) << size;
  }
}

TEST(Whisper, TokenLengthLimitHoldsAtNAndNPlusOne) {
  WhisperForge forge = forge_whisper();
  forge.tokens[0] = std::string(kWhisperTokenMax, 'x');
  EXPECT_TRUE(read_whisper(as_bytes(forge.bytes())));
  forge.tokens[0] += 'x';
  EXPECT_EQ(read_whisper(as_bytes(forge.bytes())).error().code, Code::kTooLarge);
}

TEST(Whisper, LayersUpToTheLimit) {
  constexpr auto kMost = static_cast<int32_t>(kWhisperLayersMax);
  EXPECT_TRUE(read_whisper(as_bytes(forge_whisper(1, kMost, 1).bytes())));
  EXPECT_EQ(read_whisper(as_bytes(forge_whisper(1, kMost + 1, 1).bytes())).error().code,
            Code::kTooLarge);
}

TEST(Whisper, MessagesNameTensorAndOffset) {
  WhisperForge forge = forge_whisper();
  forge.named("encoder.conv1.weight").shape[2] = 31;
  const Result<WhisperFile> whisper = read_whisper(as_bytes(forge.bytes()));
  ASSERT_FALSE(whisper);
  EXPECT_NE(whisper.error().message.find("dimension 2 of tensor 'encoder.conv1.weight' before "
                                         "offset"),
            std::string::npos)
      << whisper.error().message;
  EXPECT_NE(whisper.error().message.find("is 31 (expected 32)"), std::string::npos);
}

}  // namespace
}  // namespace gantry
