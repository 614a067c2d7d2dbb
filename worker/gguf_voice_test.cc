// The real llama.cpp with a Pocket TTS and a Qwen3-TTS without learnt weights (lab/stream): what
// they say is noise.
#include "worker/gguf_voice.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "worker/test_bench.h"

namespace gantry {
namespace {

class GgufVoiceTest : public testing::Test {
 protected:
  GgufVoiceTest() {
    options_ = {.model = folder_.file("m.gguf"),
                .projector = folder_.file("p.gguf"),
                .engine_dir = GANTRY_ENGINE_DIR};
  }

  bool make(const std::string& script = "make_speaker.py") {
    const std::string line = "/usr/bin/python3 -B " GANTRY_MODELS_DIR "/../lab/stream/" + script +
                             " " + options_.model + " " + options_.projector;
    return exists(GANTRY_ENGINE_DIR) && std::system(line.c_str()) == 0;
  }

  Result<std::string> say(GgufVoice& voice, const Utterance& utterance) {
    std::string pcm;
    const Result<void> said =
        voice.speak(utterance, cancel_, [&](std::string_view piece) {
          EXPECT_EQ(piece.size() % 2, 0U);
          pcm += piece;
          cancel_ = stop_early_;
        });
    if (!said) return fail(said.error());
    return pcm;
  }

  const TestFolder folder_;
  GgufVoiceOptions options_;
  std::atomic<bool> cancel_{false};
  bool stop_early_ = false;
};

TEST_F(GgufVoiceTest, TheSameTextIsTheSameSoundAndEndsAtItsLength) {
  if (!make()) GTEST_SKIP() << "the engine or python3 is not installed";
  const auto voice = load_gguf_voice(options_);
  ASSERT_TRUE(voice) << voice.error().message;
  EXPECT_EQ((*voice)->rate(), 24'000U);
  const auto first = say(**voice, {"hi"});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_GT(first->size(), 24'000U);
  const auto other = say(**voice, {"stop"});
  ASSERT_TRUE(other);
  EXPECT_TRUE(*first != *other);
  EXPECT_TRUE(*say(**voice, {"hi"}) == *first);  // nothing to print of it
  EXPECT_EQ(say(**voice, {"hi", "anna"}).error().code, Code::kNotFound);
  EXPECT_EQ(say(**voice, {"hi", "", 2}).error().code, Code::kUnsupported);
  stop_early_ = true;
  EXPECT_EQ(say(**voice, {"a longer text that is called off"}).error().code, Code::kCancelled);
}

TEST_F(GgufVoiceTest, ABackboneThatWritesCodesEndsItself) {
  if (!make("make_talker.py")) GTEST_SKIP() << "the engine or python3 is not installed";
  const auto voice = load_gguf_voice(options_);
  ASSERT_TRUE(voice) << voice.error().message;
  EXPECT_EQ((*voice)->rate(), 24'000U);
  const auto first = say(**voice, {"hi"});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->size() % (2 * 1'920), 0U);  // whole frames
  EXPECT_GT(first->size(), 0U);
  const auto other = say(**voice, {"stop the radio"});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_TRUE(*first != *other);
  EXPECT_TRUE(*say(**voice, {"hi"}) == *first);
  options_.language = "klingon";
  const auto lost = load_gguf_voice(options_);
  ASSERT_TRUE(lost);
  EXPECT_EQ(say(**lost, {"hi"}).error().code, Code::kWorkerFailed);
}

TEST_F(GgufVoiceTest, FilesOfOtherKindsAreTold) {
  EXPECT_EQ(load_gguf_voice(options_).error().code, Code::kNotFound);
  if (!make()) GTEST_SKIP() << "the engine or python3 is not installed";
  GgufVoiceOptions turned = options_;
  std::swap(turned.model, turned.projector);
  EXPECT_EQ(load_gguf_voice(turned).error().code, Code::kUnsupported);
  GgufVoiceOptions none = options_;
  none.model = folder_.write("x.gguf", "GGUF");
  EXPECT_FALSE(load_gguf_voice(none));
  GgufVoiceOptions quiet = options_;
  quiet.reference_audio = folder_.write("x.wav", "RIFF");
  EXPECT_EQ(load_gguf_voice(quiet).error().code, Code::kCorrupt);
  GgufVoiceOptions streamed = options_;
  streamed.stream = "light";
  streamed.plugin = "/no/such.so";
  EXPECT_EQ(load_gguf_voice(streamed).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace gantry
