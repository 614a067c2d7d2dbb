// One piece, one state; speech_test.cc has recordings and several lanes.
#include "worker/whisper_lane.h"

#include "worker/encoder_test_bench.h"
#include "worker/wav.h"

namespace gantry {
namespace {

class WhisperLaneTest : public EncoderTest {
 protected:
  void SetUp() override {
    EncoderTest::SetUp();
    if (IsSkipped()) return;
    Result<WhisperContext> context = open_whisper(model_, GANTRY_ENGINE_DIR, {}, OwnState::kNo);
    ASSERT_TRUE(context) << context.error().message;
    context_ = std::move(*context);
    Result<WavFile> wav = WavFile::open(test_data("close_the_garage_door.wav"));
    ASSERT_TRUE(wav);
    pcm_ = *wav->read(0, wav->info().samples);
    const auto frames = static_cast<uint32_t>(pcm_.size() / kFrameSamples);
    piece_ = {100, 100 + frames, 110, 90 + frames};
  }
  Result<std::vector<Segment>> hear(WhisperLane& lane, bool stop = false) {
    return lane.recognise(piece_, pcm_, {.language = "en"}, [stop] { return stop; });
  }
  RealClock clock_;
  EncoderTurns ggml_{EncoderOptions{}, clock_};
  WhisperContext context_;
  std::vector<int16_t> pcm_;
  Piece piece_;
};

TEST_F(WhisperLaneTest, TimesAreThePiecesOwn) {
  auto lane = WhisperLane::make(context_.get(), &ggml_);
  ASSERT_TRUE(lane) << lane.error().message;
  const auto got = hear(**lane);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->size(), 1U);
  const Segment& segment = got->front();
  EXPECT_EQ(segment.text, "close the garage door");
  EXPECT_EQ(segment.start, Millis(2200));
  EXPECT_EQ(segment.end, frame_time(piece_.hush));
  ASSERT_EQ(segment.words.size(), 4U);
  EXPECT_EQ(segment.words.front().start, segment.start);
  EXPECT_EQ(segment.words.back().end, segment.end);
  EXPECT_EQ(segment.encoder, "");
  EXPECT_EQ((*lane)->language(), "en");
}

TEST_F(WhisperLaneTest, NothingOfOnePieceIsLeftForTheNext) {
  auto lane = WhisperLane::make(context_.get(), &ggml_);
  auto other = WhisperLane::make(context_.get(), &ggml_);
  ASSERT_TRUE(lane && other);
  const auto first = hear(**lane);
  std::ranges::reverse(pcm_);  // something else in between
  ASSERT_TRUE(hear(**lane));
  std::ranges::reverse(pcm_);
  for (WhisperLane* each : {lane->get(), other->get()}) {
    const auto again = hear(*each);
    ASSERT_TRUE(first && again);
    EXPECT_EQ(again->front().words, first->front().words);
    EXPECT_EQ(again->front().avg_logprob, first->front().avg_logprob);
  }
}

TEST_F(WhisperLaneTest, AStopEndsItAndTheLaneGoesOn) {
  auto lane = WhisperLane::make(context_.get(), &ggml_);
  ASSERT_TRUE(lane);
  const auto stopped = hear(**lane, true);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Code::kCancelled);
  EXPECT_EQ(hear(**lane)->front().text, "close the garage door");
}

}  // namespace
}  // namespace gantry
