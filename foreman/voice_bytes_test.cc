// What is planned for a voice before it was measured.
#include "foreman/voice_bytes.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

TEST(VoiceBytes, GrowWithEveryFileAndWhatIsMissingCountsNothing) {
  FakeOs os;
  ModelConfig model;
  model.voice.engine = "vits";
  model.file = "/m.onnx";
  const Bytes bare = voice_bytes(os, model);
  os.files["/m.onnx"] = std::string(3'000'000, 'x');
  os.files["/lexicon.txt"] = std::string(1'000'000, 'x');
  EXPECT_EQ(voice_bytes(os, model) - bare, Bytes{6'000'000});
  model.voice.options = {{"lexicon", "/lexicon.txt"}, {"noise_scale", "/m.onnx"}};
  EXPECT_EQ(voice_bytes(os, model) - bare, Bytes{8'000'000});
  EXPECT_EQ(voice_files(model.voice), std::vector<std::string>{"/lexicon.txt"});
}

TEST(VoiceBytes, TheVoiceWithoutAModelIsSmallAndDiarizationHoldsARecording) {
  FakeOs os;
  ModelConfig model;
  model.voice.engine = "espeak-ng";
  const Bytes espeak = voice_bytes(os, model);
  model.voice.engine = "vits";
  const Bytes vits = voice_bytes(os, model);
  model.voice.engine = "pyannote";
  EXPECT_GT(espeak, Bytes{});
  EXPECT_GT(vits, espeak);
  EXPECT_GT(voice_bytes(os, model), vits);
  model.voice.engine = "paraformer";
  EXPECT_GT(voice_bytes(os, model), vits);
}

}  // namespace
}  // namespace gantry
