// The printed card: what scripts read, and that text and JSON agree.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/card.h"
#include "model/forge.h"
#include "model/forge_whisper.h"

namespace gantry {
namespace {

TEST(CardView, JsonNamesWhatScriptsRead) {
  GgufForge forge = forge_language();
  forge.set("llama.context_length", 8192);
  const nlohmann::json json = card_json(*read_card(as_bytes(forge.bytes())));
  EXPECT_EQ(json["architecture"], "llama");
  EXPECT_EQ(json["layers"], 2);
  EXPECT_EQ(json["quantisation"], "F16");
  EXPECT_EQ(json["context_trained"], 8192);
  EXPECT_EQ(json["bytes"]["embedding"], 4096);
  EXPECT_EQ(json["bytes"]["layer"], 2 * (256 + 2 * (64 * 64 + 2 * 64 * 32 + 64 * 128)));
  EXPECT_EQ(json["bytes"]["output"], 256);
  EXPECT_EQ(json["bytes"]["encoder"], 0);
  ASSERT_EQ(json["groups"].size(), 4U);
  EXPECT_EQ(json["groups"][1]["part"], "layer");
  EXPECT_EQ(json["groups"][1]["layer"], 0);
  EXPECT_EQ(json["kv"]["bytes_per_token"]["f16"], 2 * 2 * 32 * 2);
  EXPECT_FALSE(json["kv"]["bytes_per_token"].contains("q8_0"));  // heads of 16
  ASSERT_EQ(json["kv"]["bytes_at"].size(), 2U);
  EXPECT_EQ(json["kv"]["bytes_at"][0]["context"], 4096);
  EXPECT_EQ(json["kv"]["bytes_at"][1]["context"], 8192);
  EXPECT_EQ(json["kv"]["bytes_at"][1]["f16"], 8192 * 256);
}

TEST(CardView, EveryCacheTypeIsShownWhereHeadsAllowIt) {
  GgufForge forge = forge_language();
  forge.set("llama.attention.key_length", 64).set("llama.attention.value_length", 64);
  const nlohmann::json json = card_json(*read_card(as_bytes(forge.bytes())));
  EXPECT_EQ(json["kv"]["bytes_per_token"].size(), kCacheTypes.size());
  EXPECT_EQ(json["kv"]["bytes_per_token"]["q8_0"], 2 * 2 * 128 / 32 * 34);
  EXPECT_EQ(json["kv"]["bytes_per_token"]["q4_0"], 2 * 2 * 128 / 32 * 18);
}

TEST(CardView, TextHasALineForEachGroup) {
  const std::string text = card_text(*read_card(as_bytes(forge_language().bytes())));
  for (const char* part : {"architecture    llama (forged)\n", "  embedding     4.0 KiB (4096 B)\n",
                           "  layer 1 ", "  output ",
                           "KV per token    f32 512, f16 256, bf16 256 bytes\n",
                           "context         512 tokens trained\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(CardView, SaysWhatAnEncoderAWhisperAndAProjectorHave) {
  const std::string bert = card_text(*read_card(as_bytes(forge_language("bert").bytes())));
  EXPECT_NE(bert.find("KV cache        none"), std::string::npos) << bert;
  const std::string whisper = card_text(*read_card(as_bytes(forge_whisper().bytes())));
  EXPECT_NE(whisper.find("audio encoder 1"), std::string::npos) << whisper;
  EXPECT_NE(whisper.find("fixed state"), std::string::npos);
  const ModelCard card = *read_card(as_bytes(forge_projector().bytes()));
  EXPECT_NE(card_text(card).find("28 x 28, patches of 14"), std::string::npos);
  EXPECT_EQ(card_json(card)["image_size"], 28);
}

TEST(CardView, JsonOfHostileNamesIsValidText) {
  GgufForge forge = forge_language();
  forge.set("general.name", std::string_view("\xFF\xFE\x1b"));
  const ModelCard card = *read_card(as_bytes(forge.bytes()));
  EXPECT_EQ(nlohmann::json::parse(card_json(card).dump())["name"], "???");
}

}  // namespace
}  // namespace gantry
