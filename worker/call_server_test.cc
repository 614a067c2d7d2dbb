// The worker's side of the protocol, with a recogniser made for the test.
#include "worker/call_server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace gantry {
namespace {

// Answers with the file's name; a name of "wait" works until it is cancelled.
class Parrot final : public Recogniser {
 public:
  Millis window() const override { return Millis(1234); }
  std::string encoder() const override { return "ggml"; }
  Result<SpeechDone> transcribe(
      const Hearing& hearing, const std::atomic<bool>& cancel,
      const std::function<void(const SpeechProgress&)>& on_progress) override {
    on_progress({Segment{hearing.from, hearing.from + Millis(1), hearing.wav, 1}, 1});
    while (hearing.wav == "wait" && !cancel) std::this_thread::yield();
    if (cancel) return fail(Code::kCancelled, "cancelled");
    return SpeechDone{Millis(5)};
  }
};

class CallServerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe(in_.data()), 0);
    ASSERT_EQ(::pipe(out_.data()), 0);
    server_ = std::thread([this] {
      answer_speech(parrot_, in_[0], out_[1]);
      ::close(out_[1]);
    });
  }
  void TearDown() override {
    hang_up();
    server_.join();
    ::close(in_[0]);
    ::close(out_[0]);
  }
  void hang_up() {
    if (in_[1] >= 0) ::close(in_[1]);
    in_[1] = -1;
  }
  void say(const std::string& line) {
    ASSERT_EQ(::write(in_[1], line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  std::string hear() {  // empty at the end
    std::string line;
    for (char c = 0; ::read(out_[0], &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  Code error() {
    const Result<SpeechAnswer> answer = parse_speech_answer(hear());
    const Error* error = answer ? std::get_if<Error>(&*answer) : nullptr;
    return error == nullptr ? Code::kInternal : error->code;
  }

  Parrot parrot_;
  std::array<int, 2> in_{}, out_{};
  std::thread server_;
};

TEST_F(CallServerTest, AnswersOneAfterTheOther) {
  EXPECT_EQ(hear(), R"({"encoder":"ggml","ready":true,"window_ms":1234})");
  for (const char* name : {"a", "b", "c"}) {
    say(speech_line(SpeechCall{false, name}) + "\n");
    EXPECT_NE(hear().find(std::string("\"text\":\"") + name), std::string::npos);
    EXPECT_EQ(hear(), R"({"audio_ms":5,"done":true})");
  }
}

TEST_F(CallServerTest, BeginsWhereItIsTold) {
  hear();
  say(speech_line(SpeechCall{.wav = "a", .from = Millis(700)}) + "\n");
  EXPECT_NE(hear().find("\"start_ms\":700"), std::string::npos);
  hear();
}

TEST_F(CallServerTest, CancelIsHeardWhileItWorks) {
  hear();
  say(speech_line(SpeechCall{false, "wait"}) + "\n");
  hear();
  say(speech_line(SpeechCall{false, "second"}) + "\n");
  EXPECT_EQ(error(), Code::kBusy);
  say(speech_line(SpeechCall{true, ""}) + "\n");
  EXPECT_EQ(error(), Code::kCancelled);
  say(speech_line(SpeechCall{false, "a"}) + "\n");  // the old cancel does not touch the new one
  hear();
  EXPECT_EQ(hear(), R"({"audio_ms":5,"done":true})");
}

TEST_F(CallServerTest, HangingUpEndsItsWork) {
  hear();
  say(speech_line(SpeechCall{false, "wait"}) + "\n");
  hear();
  hang_up();
  EXPECT_EQ(error(), Code::kCancelled);
  EXPECT_EQ(hear(), "");
}

TEST_F(CallServerTest, NonsenseIsAnsweredNotObeyed) {
  hear();
  say("nonsense\n{\"op\":\"dance\"}\n");
  EXPECT_EQ(error(), Code::kCorrupt);
  EXPECT_EQ(error(), Code::kCorrupt);
  say(speech_line(SpeechCall{false, "a"}) + "\n");
  hear();
  EXPECT_EQ(hear(), R"({"audio_ms":5,"done":true})");
}

TEST_F(CallServerTest, AnEndlessLineIsTheEnd) {
  hear();
  std::thread writer([this] {
    const std::string block(4096, 'x');
    for (size_t n = 0; n <= kSpeechCallMax.n + block.size(); n += block.size()) {
      if (::write(in_[1], block.data(), block.size()) < 0) break;
    }
  });
  EXPECT_EQ(hear(), "");
  writer.join();
}

TEST_F(CallServerTest, WhatItDoesNotDoIsAnError) {
  hear();
  say(speech_line(SpeechCall{.utterance = Utterance{"hello"}}) + "\n");
  EXPECT_EQ(error(), Code::kUnsupported);
  say(speech_line(SpeechCall{.wav = "a", .speakers = SpeakerWish{2}}) + "\n");
  EXPECT_EQ(error(), Code::kUnsupported);
}

}  // namespace
}  // namespace gantry
