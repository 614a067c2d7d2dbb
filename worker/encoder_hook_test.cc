// libwhisper asks the hook, and asks ggml again once it is gone.
#include "worker/encoder_hook.h"

#include <whisper.h>

#include "worker/encoder_test_bench.h"
#include "worker/whisper_context.h"

namespace gantry {
namespace {

class Count final : public EncoderHook {
 public:
  void encode(std::span<const float> mel, uint32_t mels, uint32_t frames, std::span<float> states,
              uint32_t width) override {
    ++calls;
    EXPECT_EQ(mels, 80U);
    EXPECT_EQ(frames, 400U);
    EXPECT_EQ(mel.size(), 80U * 400);
    EXPECT_EQ(width, 96U);
    EXPECT_EQ(states.size(), 200U * 96);
    first = mel[0];
  }
  int calls = 0;
  float first = 0;
};

TEST_F(EncoderTest, TheHookIsAskedUntilItIsGone) {
  const auto context = open_whisper(model_, GANTRY_ENGINE_DIR, {});
  ASSERT_TRUE(context) << context.error().message;
  std::vector<float> mel(80 * 400, -0.25F);
  ASSERT_EQ(whisper_set_mel(context->get(), mel.data(), 400, 80), 0);
  Count hook;
  for (const int calls : {0, 1, 1}) {
    hook_encoder(context->get(), calls > hook.calls ? &hook : nullptr);
    ASSERT_EQ(whisper_encode(context->get(), 0, 1), 0);
    EXPECT_EQ(hook.calls, calls);
  }
  EXPECT_EQ(hook.first, -0.25F);
}

}  // namespace
}  // namespace gantry
