// What opens, and what our own parser keeps from the engine; speech_test.cc has the rest.
#include "worker/whisper_context.h"

#include <whisper.h>

#include "worker/encoder_test_bench.h"

namespace gantry {
namespace {

TEST_F(EncoderTest, OpensOnTheCpuAndOnNoUnknownDevice) {
  const auto context = open_whisper(model_, GANTRY_ENGINE_DIR, {});
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(whisper_n_audio_ctx(context->get()), 200);
  const auto card = open_whisper(model_, GANTRY_ENGINE_DIR, "CUDA77");
  ASSERT_FALSE(card);
  EXPECT_EQ(card.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace gantry
