// Voices and diarization in a config file, and what is said of anything else.
#include "config/voice_config.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

Result<ModelConfig> model_of(const std::string& keys) {
  auto config = parse_config("models:\n  m:\n" + keys, "/home/u/gantry.yaml");
  if (!config) return fail(config.error());
  return config->models.at(0);
}

std::string refusal(const std::string& keys) {
  const auto model = model_of(keys);
  return model ? "accepted" : model.error().message + " (" + model.error().remedy + ")";
}

TEST(VoiceConfig, AVoiceWithItsFilesAndNames) {
  const auto model = model_of(R"(    engine: vits
    file: amy.onnx
    options: {tokens: tokens.txt, length_scale: 1.2, phonemes: en-us}
    voices: {amy: 0, joe: 1}
)");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->kind, "voice");
  EXPECT_EQ(model->file, "/home/u/amy.onnx");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(model->voice.options, (Pairs{{"tokens", "/home/u/tokens.txt"},
                                         {"length_scale", "1.2"},
                                         {"phonemes", "en-us"}}));
  EXPECT_EQ(model->voice.voices, (Pairs{{"amy", "0"}, {"joe", "1"}}));
}

TEST(VoiceConfig, DiarizationNeedsNoEngineName) {
  const auto model = model_of(R"(    kind: diarization
    file: seg.onnx
    embedding: emb.onnx
    speakers: 3
    threshold: 0.7
)");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->voice.engine, "pyannote");
  EXPECT_EQ(model->voice.options.at(0).second, "/home/u/emb.onnx");
  EXPECT_EQ(model->voice.speakers, 3U);
  EXPECT_EQ(model->voice.threshold, 0.7);
}

TEST(VoiceConfig, EspeakNeedsNoFile) {
  const auto model = model_of("    engine: espeak-ng\n    voices: {anna: en-us+f3}\n");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->kind, "voice");
  EXPECT_NE(refusal("    engine: espeak-ng\n    file: x.onnx\n").find("takes no file"),
            std::string::npos);
}

TEST(VoiceConfig, EachWrongThingIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"    kind: voice\n    file: a.onnx\n", "needs engine (engines are espeak-ng, vits"},
      {"    engine: coqui\n    file: a.onnx\n", "\"coqui\" is no engine"},
      {"    kind: speech\n    engine: vits\n    file: a\n", "no engine of this kind"},
      {"    kind: voice\n    cmd: xtts --port ${PORT}\n", "a command cannot be a voice yet"},
      {"    engine: vits\n    options: {tokens: t}\n", "needs model (add file: PATH)"},
      {"    engine: vits\n    file: a\n", "needs tokens (add it under options:)"},
      {"    engine: vits\n    file: a\n    options: {vocoder: t}\n", "it takes tokens, lexicon"},
      {"    engine: vits\n    file: a\n    options: {model: t}\n", "no option \"model\""},
      {"    engine: vits\n    file: a\n    options: {tokens: t, noise_scale: x}\n", "no number"},
      {"    engine: vits\n    file: a\n    options: [t]\n", "gantry.yaml:5"},
      {"    engine: vits\n    file: a\n    embedding: b\n", "takes no embedding"},
      {"    kind: diarization\n    file: a\n", "needs embedding (add embedding: PATH)"},
      {"    kind: diarization\n    file: a\n    embedding: b\n    speakers: 65\n", "64"},
      {"    kind: diarization\n    file: a\n    embedding: b\n    threshold: 2.1\n", "threshold"},
      {"    file: a.gguf\n    options: {tokens: t}\n", "need engine"}};
  for (const auto& [keys, words] : cases) {
    EXPECT_NE(refusal(keys).find(words), std::string::npos) << keys << refusal(keys);
  }
}

TEST(VoiceConfig, WhereEspeakIsInstalledItIsAVoice) {
  FakeOs os;
  os.files["/usr/bin/espeak-ng"] = "program";
  const auto config = load_config(os, "", {});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->models.size(), 1U);
  EXPECT_EQ(config->models[0].name, "espeak");
  EXPECT_EQ(config->models[0].voice.engine, "espeak-ng");
  os.files.clear();
  EXPECT_TRUE(load_config(os, "", {})->models.empty());
}

}  // namespace
}  // namespace gantry
