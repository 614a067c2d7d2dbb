// The way down, link by link, with devices that fail when told to.
#include "worker/encoder_chain.h"

#include "worker/encoder_test_bench.h"

namespace gantry {
namespace {

// The shipped model's: 80 mels by 400 frames to 200 states of 96.
class EncoderChainTest : public EncoderTest {
 protected:
  void SetUp() override {
    EncoderTest::SetUp();
    if (!IsSkipped()) converted();
  }
  void encode(EncoderChain& chain) { chain.encode(mel_, 80, 400, states_, 96); }
  std::string words(const EncoderChain& chain) {
    std::string out;
    for (const EncoderChange& c : chain.changes()) {
      out += c.from + ">" + c.to + "@" + std::to_string(c.at.count()) + " " + c.cause + "\n";
    }
    return out;
  }
  FakeClock clock_;
  std::vector<float> mel_ = std::vector<float>(80 * 400, 0.1F);
  std::vector<float> states_ = std::vector<float>(200 * 96);
};

TEST_F(EncoderChainTest, EachLinkIsLeftForTheNextAndTheRecordSaysSo) {
  const Faults faults("NPU:2=throw,GPU:1=nan,CPU:1=inf");
  EncoderChain chain(options("npu"), clock_);
  EXPECT_EQ(chain.device(), "NPU");
  encode(chain);
  EXPECT_FALSE(chain.failed());
  EXPECT_NE(states_, std::vector<float>(states_.size()));
  encode(chain);
  ASSERT_TRUE(chain.failed());
  EXPECT_EQ(states_, std::vector<float>(states_.size()));  // nothing to decode by mistake
  encode(chain);  // libwhisper may ask again within the same call
  ASSERT_TRUE(chain.failed());
  chain.step_down(Millis(1000));
  EXPECT_EQ(chain.device(), "GPU");
  EXPECT_FALSE(chain.failed());
  encode(chain);
  ASSERT_TRUE(chain.failed());
  chain.step_down(Millis(1000));
  encode(chain);
  ASSERT_TRUE(chain.failed());
  chain.step_down(Millis(2000));
  EXPECT_TRUE(chain.on_ggml());
  EXPECT_EQ(words(chain), "NPU>GPU@1000 injected: device lost\n"
                          "GPU>CPU@1000 its answer holds what is no number\n"
                          "CPU>ggml@2000 its answer holds what is no number\n");
}

TEST_F(EncoderChainTest, ADeviceRestsAndIsTriedForALaterRecording) {
  const Faults faults("NPU:1=throw");
  EncoderChain chain(options("npu"), clock_);
  encode(chain);
  chain.step_down(Millis(7));
  EXPECT_EQ(chain.device(), "GPU");
  clock_.advance(Millis(59'999));
  chain.begin();
  EXPECT_EQ(chain.device(), "GPU");
  EXPECT_EQ(words(chain), "NPU>GPU@0 injected: device lost\n");
  clock_.advance(Millis(1));
  chain.begin();
  EXPECT_EQ(chain.device(), "NPU");
  EXPECT_EQ(words(chain), "");
}

TEST_F(EncoderChainTest, WhatIsNotThereIsPassedOver) {
  const Faults faults("GPU.0:0=absent", "CPU,GPU.0,GPU.1");
  const EncoderChain chain(options("npu"), clock_);
  EXPECT_EQ(chain.device(), "CPU");
  EXPECT_EQ(words(chain), "NPU>CPU@0 this machine has none that OpenVINO sees\n"
                          "GPU>CPU@0 injected: no such device\n");
}

TEST_F(EncoderChainTest, AutoIsTheNpuOrNothing) {
  {
    const Faults faults("", "CPU,NPU");
    EXPECT_EQ(EncoderChain(options("auto"), clock_).device(), "NPU");
  }
  const Faults faults("", "CPU,GPU");
  const EncoderChain chain(options("auto"), clock_);
  EXPECT_TRUE(chain.on_ggml());
  EXPECT_EQ(words(chain), "");
}

TEST_F(EncoderChainTest, OtherSizesThanTheModelsAreAFailure) {
  const Faults faults("CPU:0=shape");
  EncoderChain chain(options("cpu"), clock_);
  encode(chain);
  ASSERT_TRUE(chain.failed());
  chain.step_down(Millis(0));
  EXPECT_EQ(words(chain), "CPU>ggml@0 the encoder takes 80 x 400 and gives 201 x 96, not as the "
                          "model\n");
}

TEST_F(EncoderChainTest, WithoutLibraryOrEncoderItIsGgmlAndSaysWhy) {
  EncoderOptions none = options("gpu");
  none.library = folder_.file("none.so");
  const EncoderChain chain(none, clock_);
  EXPECT_TRUE(chain.on_ggml());
  ASSERT_EQ(chain.changes().size(), 1U);
  EXPECT_EQ(chain.changes()[0].to, "ggml");
  EXPECT_NE(chain.changes()[0].cause.find("none.so"), std::string::npos);

  EncoderOptions unmade = options("cpu");
  unmade.ir = [] { return fail(Code::kNotFound, "no encoder"); };
  EXPECT_EQ(words(EncoderChain(unmade, clock_)), "cpu>ggml@0 no encoder\n");

  EncoderOptions unasked = options("none");
  unasked.library = "no library";
  EXPECT_EQ(words(EncoderChain(unasked, clock_)), "");
}

}  // namespace
}  // namespace gantry
