// What is drawn of a Parakeet encoder, to the byte what the engine reserves for half a minute.
#include "plan/draw_parakeet.h"

#include <gtest/gtest.h>

#include "plan/draw_vision.h"
#include "plan/sketch.h"

namespace gantry {
namespace {

ModelCard card_of(uint32_t layers, const AudioStyle& audio, uint32_t mels, uint32_t channels) {
  ModelCard card;
  card.audio_projector = "parakeet";
  card.audio_layers = layers;
  card.audio_mels = mels;
  card.audio_channels = channels;
  card.audio = audio;
  return card;
}

// Of Parakeet's own width; with as many heads as steps are wide; with long convolutions.
TEST(DrawParakeet, AsTheEngineHasIt) {
  const auto drawn = [](uint32_t layers, const AudioStyle& audio, uint32_t mels,
                        uint32_t channels) {
    return draw_parakeet(card_of(layers, audio, mels, channels), 128, 3'000);
  };
  EXPECT_EQ(drawn(2, {1024, 8, 4096, 9, 4096, {}}, 128, 256), 201'975'584U);
  EXPECT_EQ(drawn(2, {64, 2, 128, 9, 128, {}}, 128, 16), 17'653'664U);
  EXPECT_EQ(drawn(2, {64, 8, 128, 9, 128, {}}, 128, 16), 33'589'664U);
  EXPECT_EQ(drawn(2, {512, 8, 2048, 31, 2048, {}}, 80, 32), 32'455'392U);
  EXPECT_EQ(drawn(5, {256, 16, 64, 9, 64, {}}, 128, 4), 50'146'464U);
}

TEST(DrawParakeet, ItIsDrawnBesidePicturesAndWithFlashAttention) {
  ModelCard card = card_of(2, {64, 2, 128, 9, 128, {}}, 128, 16);
  card.image_size = 512;
  card.layers = card.heads = 1;
  card.embd = 1280;
  for (const bool flash : {false, true}) EXPECT_EQ(draw_audio(card, 128, flash), 17'653'664U);
}

TEST(DrawParakeet, HostileShapesAreDrawnInTime) {
  for (const uint32_t width : {0U, 1U, 1U << 20}) {
    for (const uint32_t layers : {0U, kLayersMax}) {
      const AudioStyle audio{width, width, width, 0, width, {}};
      const ModelCard card = card_of(layers, audio, 1U << 12, 1U << 16);
      EXPECT_LE(draw_parakeet(card, width, 3'000), kSketchMost * 64) << width << ' ' << layers;
    }
  }
}

}  // namespace
}  // namespace gantry
