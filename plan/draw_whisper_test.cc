// What is drawn of a speech model; lab/plan compares the bytes with whisper.cpp's.
#include "plan/draw_whisper.h"

#include <gtest/gtest.h>

#include "plan/example.h"

namespace gantry {
namespace {

// As whisper.cpp's log has them, in MB, nodes included: conv, encode, cross, decode.
TEST(DrawWhisper, TheShippedModelAsItWasLogged) {
  constexpr double kCpu[] = {2.06, 2.13, 1.67, 14.92}, kCard[] = {2.19, 2.13, 1.67, 14.98};
  const WhisperGraphs cpu = draw_whisper(whisper_card(), false, 64);
  const WhisperGraphs card = draw_whisper(whisper_card(), true, 64);
  for (size_t i = 0; i < cpu.size(); ++i) {
    ASSERT_EQ(cpu[i].size(), 1U);
    ASSERT_EQ(card[i].size(), 2U);
    const auto mb = [](uint64_t bytes) { return double(bytes + kWhisperNodeBytes) / 1e6; };
    EXPECT_NEAR(mb(cpu[i][0]), kCpu[i], 0.005) << kWhisperGraphs[i];
    EXPECT_NEAR(mb(card[i][0] + card[i][1]), kCard[i], 0.005) << kWhisperGraphs[i];
  }
}

}  // namespace
}  // namespace gantry
