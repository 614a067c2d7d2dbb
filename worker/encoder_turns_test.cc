// Two recognitions share a device, and lose it together.
#include "worker/encoder_turns.h"

#include <thread>

#include "worker/encoder_test_bench.h"

namespace gantry {
namespace {

class EncoderTurnsTest : public EncoderTest {
 protected:
  void SetUp() override {
    EncoderTest::SetUp();
    if (!IsSkipped()) converted();
  }
  bool encode(EncoderTurns& turns, const EncoderTurns::Turn& turn) {
    return turns.encode(turn, mel_, 80, 400, states_, 96);
  }
  FakeClock clock_;
  const std::vector<float> mel_ = std::vector<float>(80 * 400, 0.1F);
  const std::vector<float> none_ = std::vector<float>(200 * 96);
  std::vector<float> states_ = none_;
};

TEST_F(EncoderTurnsTest, WhoSawTheFailureFirstDecides) {
  const Faults faults("NPU:2=throw");
  EncoderTurns turns(options("npu"), clock_);
  turns.begin();
  const EncoderTurns::Turn one = turns.turn(), two = turns.turn();
  EXPECT_EQ(one.device, "NPU");
  EXPECT_FALSE(one.on_ggml);
  EXPECT_TRUE(encode(turns, one));
  EXPECT_NE(states_, none_);
  EXPECT_FALSE(encode(turns, two));
  EXPECT_EQ(states_, none_);
  EXPECT_FALSE(encode(turns, one));  // the device is lost for both
  turns.step_down(two, Millis(10));
  turns.step_down(one, Millis(20));  // not once more
  ASSERT_EQ(turns.changes().size(), 1U);
  EXPECT_EQ(turns.changes()[0].to, "GPU");
  EXPECT_EQ(turns.changes()[0].at, Millis(10));
  const EncoderTurns::Turn next = turns.turn();
  EXPECT_EQ(next.device, "GPU");
  EXPECT_TRUE(encode(turns, next));
  // A piece that began on the lost device does not go on with another one.
  EXPECT_FALSE(encode(turns, one));
  EXPECT_EQ(states_, none_);
}

TEST_F(EncoderTurnsTest, ThreadsTakeTurns) {
  const Faults faults("");
  EncoderTurns turns(options("npu"), clock_);
  turns.begin();
  const EncoderTurns::Turn turn = turns.turn();
  ASSERT_TRUE(encode(turns, turn));
  const std::vector<float> alone = states_;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      std::vector<float> states(alone.size());
      for (int k = 0; k < 3; ++k) {
        EXPECT_TRUE(turns.encode(turn, mel_, 80, 400, states, 96));
        EXPECT_EQ(states, alone);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gantry
