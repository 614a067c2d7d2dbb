// What is drawn of an encoder; lab/plan compares the bytes with the engine's.
#include "plan/draw_vision.h"

#include <gtest/gtest.h>

#include "plan/sketch.h"

namespace gantry {
namespace {

TEST(DrawVision, TheShippedEncoderAsTheEngineHasIt) {
  ModelCard card;
  card.layers = 4;
  card.embd = 128;
  card.heads = 4;
  card.ffn = 384;
  card.image_size = 168;
  card.patch_size = 14;
  EXPECT_EQ(draw_vision(card, 128, true), 561'024U);
  EXPECT_EQ(draw_vision(card, 128, false), 671'616U);
  card.patch_size = 0;  // for sound
  EXPECT_EQ(draw_vision(card, 128, true), 0U);
}

// Qwen3-VL-8B's encoder for its text model, and Gemma 3 12B's.
TEST(DrawVision, OtherKindsHaveTheirOwnGraphs) {
  ModelCard card;
  card.layers = 27;
  card.embd = 1152;
  card.heads = 16;
  card.ffn = 4304;
  card.image_size = 768;
  card.patch_size = 16;
  card.vision.norm_behind = true;
  card.vision.projector = "qwen3vl_merger";
  card.vision.deepstack = {8, 16, 24};
  EXPECT_EQ(draw_vision(card, 4096, true), 390'156'544U);
  EXPECT_EQ(draw_vision(card, 4096, false), 5'001'072'896U);
  card.image_size = 560;  // whatever the file says
  EXPECT_EQ(draw_vision(card, 4096, true), 390'156'544U);
  card.vision.projector = "qwen2.5vl_merger";
  card.vision.deepstack = {};
  card.vision.full_every = 8;
  EXPECT_EQ(draw_vision(card, 4096, true), 903'430'464U);
  card.vision.projector = "gemma3";
  card.vision.full_every = 0;
  card.vision.merge = 4;
  card.image_size = 896;
  card.patch_size = 14;
  EXPECT_EQ(draw_vision(card, 3840, true), 127'139'840U);
}

// As the engine reserves it: two layers of Nemotron's encoder, a quarter as wide.
TEST(DrawVision, NemotronsHasRegistersAndMergesItsPatches) {
  ModelCard card;
  card.layers = 2;
  card.embd = 320;
  card.heads = 2;
  card.ffn = 1280;
  card.image_size = 512;
  card.patch_size = 16;
  card.vision.projector = "nemotron_v2_vl";
  card.vision.merge = 2;
  card.vision.registers = 10;
  card.vision.inner = 1280;
  EXPECT_EQ(draw_vision(card, 128, true), 9'251'840U);
  EXPECT_EQ(draw_vision(card, 128, false), 17'805'088U);
}

// As the engine's dry run has them: Qwen3-ASR's, Qwen2-Audio's and Voxtral's, small.
TEST(DrawAudio, EncodersOfSoundAsTheEngineHasThem) {
  ModelCard card;
  card.audio_layers = 4;
  card.audio = {.embd = 256, .heads = 2, .ffn = 1024};
  EXPECT_EQ(draw_audio(card, 128, true), 0U);  // it hears nothing
  card.audio_mels = 128;
  card.audio_channels = 64;
  card.audio_projector = "qwen3a";
  EXPECT_EQ(draw_audio(card, 128, true), 53'952'000U);
  EXPECT_EQ(draw_audio(card, 128, false), 53'952'000U);
  card.image_size = 224;  // eyes beside it are drawn for themselves
  card.layers = 1, card.embd = 1 << 16, card.vision.projector = "qwen2.5vl_merger";
  EXPECT_EQ(draw_audio(card, 128, true), 53'952'000U);
  card.audio.heads = 4;
  for (const char* projector : {"qwen2a", "voxtral"}) {
    card.audio_projector = projector;
    EXPECT_EQ(draw_audio(card, 128, true), 10'752'000U);
    EXPECT_EQ(draw_audio(card, 128, false), 42'144'000U);
  }
  card.audio.embd = card.audio.ffn = 1U << 20;
  card.audio_mels = 1U << 12;
  card.audio_channels = 1U << 16;
  card.audio.heads = 1;
  card.audio_projector = "qwen3a";
  EXPECT_GT(draw_audio(card, 1U << 20, false), 1ULL << 40);
}

TEST(DrawVision, HostileShapesAreDrawnInTime) {
  ModelCard card;
  card.embd = card.ffn = card.image_size = 1U << 20;
  card.heads = 1;
  card.patch_size = 1;
  for (const char* projector :
       {"mlp", "gemma3", "nemotron_v2_vl", "qwen2.5vl_merger", "qwen3vl_merger"}) {
    card.vision.projector = projector;
    card.vision.merge = 0;
    card.vision.registers = card.vision.inner = 1U << 20;
    card.vision.full_every = 1;
    for (const uint32_t layers : {0U, 1U, kLayersMax}) {
      card.layers = layers;
      card.vision.deepstack = {0};
      EXPECT_LE(draw_vision(card, 1U << 20, true), kSketchMost * 64) << projector << layers;
    }
  }
}

}  // namespace
}  // namespace gantry
