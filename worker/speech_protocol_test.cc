// The speech protocol: what is written is read back, and nothing else is read.
#include "worker/speech_protocol.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(SpeechProtocol, RoundTrips) {
  const Segment segment{Millis(120), Millis(3400), "call \"two\"\nthree", 0.5};
  const auto line = speech_line(SpeechAnswer(SpeechProgress{segment, 0.25}));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Result<SpeechAnswer> got = parse_speech_answer(line);
  ASSERT_TRUE(got);
  const SpeechProgress& progress = std::get<SpeechProgress>(*got);
  EXPECT_EQ(progress.segment->start, Millis(120));
  EXPECT_EQ(progress.segment->end, Millis(3400));
  EXPECT_EQ(progress.segment->text, segment.text);
  EXPECT_EQ(progress.segment->confidence, 0.5);
  EXPECT_EQ(progress.fraction, 0.25);
  EXPECT_EQ(std::get<SpeechDone>(*parse_speech_answer(speech_line(SpeechDone{Millis(7)}))).audio,
            Millis(7));
  EXPECT_EQ(
      std::get<SpeechReady>(*parse_speech_answer(speech_line(SpeechReady{Millis(9)}))).window,
      Millis(9));
  const Error error{Code::kTooLarge, "too long", "cut it"};
  const Error back = std::get<Error>(*parse_speech_answer(speech_line(error)));
  EXPECT_EQ(back.code, Code::kTooLarge);
  EXPECT_EQ(back.message, "too long");
  EXPECT_EQ(back.remedy, "cut it");
  EXPECT_EQ(parse_speech_call(speech_line(SpeechCall{false, "/a b\"c"}))->wav, "/a b\"c");
  EXPECT_TRUE(parse_speech_call(speech_line(SpeechCall{true, ""}))->cancel);
}

TEST(SpeechProtocol, HalfACharacterIsReplaced) {
  const auto line =
      speech_line(SpeechAnswer(SpeechProgress{Segment{Millis(0), Millis(1), "a\xC3", 1}, 0}));
  EXPECT_TRUE(parse_speech_answer(line));
}

TEST(SpeechProtocol, MalformedAnswersAreRefused) {
  for (const char* line : {
           "", "null", "[]", "17", "{", "garbage", "{}", R"({"progress":2})",
           R"({"progress":-0.1})", R"({"progress":"x"})", R"({"segment":{},"progress":0.5})",
           R"({"segment":7,"progress":0.5})",
           R"({"segment":{"start_ms":5,"end_ms":4,"text":"a","confidence":1},"progress":0.5})",
           R"({"segment":{"start_ms":-1,"end_ms":4,"text":"a","confidence":1},"progress":0.5})",
           R"({"segment":{"start_ms":1,"end_ms":4e30,"text":"a","confidence":1},"progress":0.5})",
           R"({"segment":{"start_ms":1,"end_ms":4,"text":"a","confidence":7},"progress":0.5})",
           R"({"segment":{"start_ms":1,"end_ms":4,"text":"a","confidence":1}})",
           R"({"done":true})", R"({"done":true,"audio_ms":"x"})", R"({"ready":true})",
           R"({"error":"x"})"}) {
    const Result<SpeechAnswer> got = parse_speech_answer(line);
    ASSERT_FALSE(got) << line;
    EXPECT_EQ(got.error().code, Code::kCorrupt);
  }
  const std::string open(static_cast<size_t>(100'000), '[');
  EXPECT_FALSE(parse_speech_answer(open));
  EXPECT_FALSE(parse_speech_answer(std::string(kSpeechLineMax.n + 1, ' ')));
}

TEST(SpeechProtocol, MalformedCallsAreRefused) {
  for (const char* line : {"", "{}", R"({"op":"transcribe"})", R"({"op":"transcribe","wav":7})",
                           R"({"op":"rm","wav":"/a"})", R"({"wav":"/a"})"}) {
    EXPECT_FALSE(parse_speech_call(line)) << line;
  }
}

TEST(SpeechProtocol, AnUnknownErrorCodeIsAFailure) {
  const auto got = parse_speech_answer(R"({"error":{"code":"odd","message":"m"}})");
  EXPECT_EQ(std::get<Error>(*got).code, Code::kWorkerFailed);
}

}  // namespace
}  // namespace gantry
