// What is drawn of an encoder; lab/plan compares the bytes with the engine's.
#include "plan/draw_vision.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace gantry
