// Cards over the process boundary: every field survives, and a reader that dies is an error.
#include "foreman/card_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/fake_os.h"
#include "foreman/one_line.h"

namespace gantry {
namespace {

using testing::HasSubstr;

ModelCard some_card() {
  ModelCard card;
  card.architecture = "llama";
  card.name = "A name";
  card.quantisation = "Q4_K";
  card.file_bytes = MiB(5);
  card.weight_bytes = MiB(4);
  card.parameters = 123'456'789'012;
  card.layers = 2, card.embd = 64, card.heads = 8, card.heads_kv = 4, card.ffn = 256;
  card.vocab = 1000, card.context_trained = 2048, card.experts = 8, card.experts_used = 2;
  card.has_chat_template = true;
  card.groups = {{Part::kEmbedding, -1, MiB(1), Bytes{}, 1},
                 {Part::kLayer, 0, MiB(1), KiB(512), 9},
                 {Part::kLayer, 1, MiB(1), KiB(512), 9},
                 {Part::kOutput, -1, MiB(1), Bytes{}, 2}};
  LayerKv kv;
  kv.k_width = 32, kv.v_width = 32, kv.k_head = 8, kv.v_head = 8, kv.window = 512;
  card.kv = {kv, kv};
  card.state_bytes = KiB(3);
  return card;
}

TEST(CardProbe, EveryFieldSurvivesTheWay) {
  for (ModelCard card : {some_card(), ModelCard{}}) {
    const Result<ModelCard> back = parse_card(card_json(card));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(card_json(*back), card_json(card));
    EXPECT_EQ(back->kv_bytes(1000, CacheType::kF16, CacheType::kQ8_0),
              card.kv_bytes(1000, CacheType::kF16, CacheType::kQ8_0));
  }
  ModelCard speech = some_card();
  speech.format = ModelFormat::kWhisper;
  speech.audio_context = 200, speech.audio_layers = 4, speech.text_context = 64;
  speech.audio_mels = 80;
  EXPECT_EQ(card_json(*parse_card(card_json(speech))), card_json(speech));
  ModelCard ears = some_card();
  ears.audio_layers = 4, ears.audio_mels = 128, ears.audio_channels = 256;
  ears.audio_projector = "parakeet";
  ears.audio = {1024, 8, 4096, 9, 2048, MiB(3)};
  const Result<ModelCard> heard = parse_card(card_json(ears));
  ASSERT_TRUE(heard) << heard.error().message;
  EXPECT_EQ(card_json(*heard), card_json(ears));
  EXPECT_EQ(heard->audio.inner, 2048U);
  ModelCard eyes = some_card();
  eyes.image_size = 336, eyes.patch_size = 14;
  eyes.vision = {"qwen3vl_merger", 2, 8, {5, 11}, true, true, 10, 5120};
  EXPECT_EQ(card_json(*parse_card(card_json(eyes))), card_json(eyes));
}

TEST(CardProbe, WhatIsNoCardIsAnError) {
  nlohmann::json card = card_json(some_card());
  for (const char* key : {"architecture", "layers", "groups", "kv", "file_bytes"}) {
    nlohmann::json without = card;
    without.erase(key);
    EXPECT_FALSE(parse_card(without)) << key;
    without[key] = nlohmann::json::array({"wrong"});
    EXPECT_FALSE(parse_card(without)) << key;
  }
  EXPECT_FALSE(parse_card(nlohmann::json()));
}

class CardProbeTest : public testing::Test {
 protected:
  Result<Cards> ask(std::optional<std::string> line, const std::string& errors = "",
                    const std::string& mmproj = "", Code missing = Code::kWorkerFailed) {
    os_.on_spawn = [=, this](const ProcessSpec& spec) -> Result<std::unique_ptr<Process>> {
      argv_ = spec.argv;
      os_.files[spec.output_file] = errors;
      return std::make_unique<SaysOneLine>(line, missing);
    };
    return card_probe(os_, "/bin/gantry-worker", "/run")("/m/a.gguf", mmproj);
  }
  FakeOs os_;
  std::vector<std::string> argv_;
};

TEST_F(CardProbeTest, OneFileOrTwo) {
  const nlohmann::json card = card_json(some_card());
  const Result<Cards> one = ask(card.dump());
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->model.name, "A name");
  EXPECT_FALSE(one->mmproj);
  EXPECT_THAT(argv_, testing::ElementsAre("/bin/gantry-worker", "card", "/m/a.gguf"));
  const Result<Cards> two =
      ask(nlohmann::json{{"model", card}, {"mmproj", card}}.dump(), "", "/m/eyes.gguf");
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_TRUE(two->mmproj);
  EXPECT_EQ(argv_.back(), "/m/eyes.gguf");
}

TEST_F(CardProbeTest, ItsLastWordsOrItsSignalAreTheError) {
  const Result<Cards> refused =
      ask(std::nullopt, "some library's chatter\ngantry: a.gguf: tensor 3 ends beyond the file\n");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCorrupt);
  EXPECT_EQ(refused.error().message, "a.gguf: tensor 3 ends beyond the file");
  const Result<Cards> crashed = ask(std::nullopt);
  EXPECT_EQ(crashed.error().code, Code::kCorrupt);
  EXPECT_THAT(crashed.error().message, HasSubstr("signal 11"));
  EXPECT_EQ(ask(std::nullopt, "", "", Code::kTimeout).error().code, Code::kTimeout);
  EXPECT_EQ(ask("not json").error().code, Code::kInternal);
  EXPECT_EQ(ask("{}").error().code, Code::kInternal);
  EXPECT_EQ(ask("{}", "", "/m/eyes.gguf").error().code, Code::kInternal);
}

}  // namespace
}  // namespace gantry
