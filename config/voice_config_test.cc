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

TEST(VoiceConfig, ARecogniserIsOfKindSpeech) {
  const auto model = model_of(R"(    engine: sense-voice
    file: model.onnx
    options: {tokens: tokens.txt, language: en, denoise: gtcrn.onnx, punctuation: marks.onnx}
)");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->kind, "speech");
  EXPECT_EQ(model->voice.options.at(2).second, "/home/u/gtcrn.onnx");
  EXPECT_NE(refusal("    kind: voice\n    engine: moonshine\n    file: a\n").find("no engine of"),
            std::string::npos);
  EXPECT_NE(refusal("    engine: moonshine\n    file: a\n").find("needs tokens"),
            std::string::npos);
}

TEST(VoiceConfig, ACommandMayServeSound) {
  const auto model = model_of(R"(    kind: voice
    cmd: xtts --port ${PORT}
    memory: 3GiB
    options: {model: xtts_v2, language: en, test_s: 20}
    voices: {anna: female_01}
)");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(model->voice.engine.empty());
  EXPECT_EQ(model->voice.options.size(), 3U);
  EXPECT_EQ(model->voice.voices.front().second, "female_01");
  EXPECT_EQ(model_of("    kind: speech\n    cmd: ears\n")->kind, "speech");
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
      {"    kind: voice\n    cmd: xtts\n    engine: vits\n", "takes no engine"},
      {"    kind: voice\n    cmd: xtts\n    options: {tokens: t}\n", "model, language, test_s"},
      {"    kind: voice\n    cmd: xtts\n    options: {test_s: soon}\n", "no number"},
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

TEST(VoiceConfig, WhereItsFilesAreSpeakersAreToldApart) {
  FakeOs os;
  os.exe = "/opt/gantry/bin/gantryd";
  os.files["/opt/gantry/bin/campplus.onnx"] = "weights";
  EXPECT_TRUE(load_config(os, "", {})->models.empty());  // one of two is none
  os.files["/opt/gantry/bin/pyannote_segmentation.onnx"] = "weights";
  const auto config = load_config(os, "", {});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->models.size(), 1U);
  EXPECT_EQ(config->models[0].name, "speakers");
  EXPECT_EQ(config->models[0].kind, "diarization");
  EXPECT_EQ(config->models[0].voice.engine, "pyannote");
  EXPECT_EQ(config->models[0].file, "/opt/gantry/bin/pyannote_segmentation.onnx");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(config->models[0].voice.options,
            (Pairs{{"embedding", "/opt/gantry/bin/campplus.onnx"}}));
  for (const char* taken : {"  speakers: {kind: diarization, file: a, embedding: b}\n",
                            "  who: {kind: diarization, file: a, embedding: b, "
                            "aliases: [speakers]}\n"}) {
    os.files["/f.yaml"] = std::string("models:\n") + taken;
    const auto own = load_config(os, "/f.yaml", {});
    ASSERT_TRUE(own) << own.error().message;
    ASSERT_EQ(own->models.size(), 1U);
    EXPECT_EQ(own->models[0].file, "/a");
  }
}

TEST(VoiceConfig, ARecogniserBesideTheProgramIsAModel) {
  FakeOs os;
  os.exe = "/opt/gantry/bin/gantryd";
  const std::string dir = "/opt/gantry/bin/moonshine-tiny-en/";
  os.files[dir + "encoder_model.ort"] = "weights";
  const auto config = load_config(os, "", {});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->models.size(), 1U);
  EXPECT_EQ(config->models[0].name, "moonshine-tiny-en");
  EXPECT_EQ(config->models[0].kind, "speech");
  EXPECT_EQ(config->models[0].file, dir + "encoder_model.ort");
  const std::vector<std::pair<std::string, std::string>> options = {
      {"merged_decoder", dir + "decoder_model_merged.ort"}, {"tokens", dir + "tokens.txt"}};
  EXPECT_EQ(config->models[0].voice.options, options);
  os.files["/f.yaml"] = "models:\n  ear: {file: a.bin, aliases: [moonshine-tiny-en]}\n";
  const auto own = load_config(os, "/f.yaml", {});
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_EQ(own->models.size(), 1U);  // a declared one of that name takes its place
  EXPECT_EQ(own->models[0].name, "ear");
}

TEST(VoiceConfig, ADetectorComesWithWhoeverAsksForIt) {
  FakeOs os;
  os.exe = "/opt/gantry/bin/gantryd";
  const auto load = [&](const std::string& models) {
    os.files["/f.yaml"] = "models:\n" + models;
    return load_config(os, "/f.yaml", {});
  };
  EXPECT_EQ(load("  ear: {kind: speech, file: a.bin, vad: loudness}\n")->models.size(), 1U);
  const auto config = load("  ear: {file: a.bin, vad: silero}\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->models.size(), 2U);
  EXPECT_EQ(config->models[0].vad, "silero");
  EXPECT_EQ(config->models[1].name, "silero-vad");
  EXPECT_EQ(config->models[1].kind, "vad");
  EXPECT_EQ(config->models[1].file, "/opt/gantry/bin/silero_vad.onnx");
  const auto own = load("  ear: {file: a.bin, vad: silero}\n"
                        "  silero-vad: {engine: silero, file: mine.onnx, threshold: 0.3}\n");
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_EQ(own->models.size(), 2U);
  EXPECT_EQ(own->models[1].kind, "vad");
  EXPECT_EQ(own->models[1].voice.threshold, 0.3);
  EXPECT_NE(load("  ear: {file: a.bin, vad: webrtc}\n").error().message.find("find speech"),
            std::string::npos);
  EXPECT_NE(load("  llm: {kind: language, file: a.gguf, vad: silero}\n").error().message.find(
                "finds no speech"),
            std::string::npos);
}

}  // namespace
}  // namespace gantry
