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

TEST(SpeechProtocol, WhereToBeginAndHowFarItIs) {
  EXPECT_EQ(speech_line(SpeechCall{.wav = "/a"}).find("from"), std::string::npos);
  const SpeechCall call{.wav = "/a", .from = Millis(60'020)};
  EXPECT_EQ(parse_speech_call(speech_line(call))->from, Millis(60'020));
  EXPECT_FALSE(parse_speech_call(R"({"op":"transcribe","wav":"/a","from_ms":-1})"));
  EXPECT_FALSE(parse_speech_call(R"({"op":"transcribe","wav":"/a","from_ms":"1"})"));
  const SpeechProgress progress{.segment = Segment{}, .fraction = 0.5, .heard = Millis(30'000)};
  const auto back = parse_speech_answer(speech_line(progress));
  EXPECT_EQ(std::get<SpeechProgress>(*back).heard, Millis(30'000));
  EXPECT_EQ(std::get<SpeechProgress>(*parse_speech_answer(R"({"progress":0})")).heard, Millis(0));
  EXPECT_FALSE(parse_speech_answer(R"({"progress":0,"heard_ms":1e40})"));
}

TEST(SpeechProtocol, ADetectorsWordGoesWithTheRecording) {
  SpeechCall call{.wav = "/a", .speech = std::vector<SpeechSpan>{}};
  EXPECT_TRUE(parse_speech_call(speech_line(call))->speech->empty());
  call.speech = {{Millis(0), Millis(320)}, {Millis(320), Millis(35'999'000)}};
  EXPECT_EQ(parse_speech_call(speech_line(call))->speech, call.speech);
  EXPECT_FALSE(parse_speech_call(speech_line(SpeechCall{.wav = "/a"}))->speech);
  // All that ten hours hold fits.
  call.speech->assign(kStretchesMax, {Millis(35'999'000), Millis(35'999'000)});
  EXPECT_EQ(parse_speech_call(speech_line(call))->speech->size(), kStretchesMax);
  call.speech->push_back({Millis(35'999'000), Millis(35'999'000)});
  EXPECT_FALSE(parse_speech_call(speech_line(call)));
  for (const char* bad : {"[1]", "[2,1]", "[1,5,4,6]", "[-1,2]", "[\"1\",2]", "{}", "7"}) {
    const std::string line =
        R"({"op":"transcribe","wav":"/a","speech_ms":)" + std::string(bad) + "}";
    EXPECT_FALSE(parse_speech_call(line)) << bad;
  }
}

TEST(SpeechProtocol, WordsAndDoubtsGoWithTheSegment) {
  Segment segment{Millis(0), Millis(900), "hello there", 1};
  segment.words = {{Millis(0), Millis(400), "hello", 0.75}, {Millis(400), Millis(900), "there", 1}};
  segment.avg_logprob = -0.5;
  segment.no_speech = 0.25;
  segment.low_confidence = true;
  const std::string line = speech_line(SpeechProgress{segment, 0});
  const auto got = parse_speech_answer(line);
  ASSERT_TRUE(got) << got.error().message;
  const Segment& back = *std::get<SpeechProgress>(*got).segment;
  EXPECT_EQ(back.words, segment.words);
  EXPECT_EQ(back.avg_logprob, -0.5);
  EXPECT_EQ(back.no_speech, 0.25);
  EXPECT_TRUE(back.low_confidence);

  const std::string plain = speech_line(SpeechProgress{Segment{}, 0});
  for (const char* absent : {"words", "logprob", "no_speech", "low_"}) {
    EXPECT_EQ(plain.find(absent), std::string::npos) << absent;
  }
  const auto with = [&line](const std::string& from, const std::string& to) {
    std::string bad = line;
    bad.replace(bad.find(from), from.size(), to);
    return parse_speech_answer(bad).has_value();
  };
  EXPECT_TRUE(with("0.75", "0"));
  EXPECT_FALSE(with("0.75", "1.5"));
  EXPECT_FALSE(with("0.75", "\"x\""));
  EXPECT_FALSE(with("\"start_ms\":400", "\"start_ms\":901"));
  EXPECT_FALSE(with("\"start_ms\":400", "\"start_ms\":-1"));
  EXPECT_FALSE(with("\"words\":[", "\"words\":[7,"));
  EXPECT_FALSE(with("\"words\":[", "\"words\":{},\"w\":["));
}

TEST(SpeechProtocol, TheEncoderGoesWithReadySegmentAndDone) {
  const auto there_and_back = [](const SpeechAnswer& said) {
    const auto heard = parse_speech_answer(speech_line(said));
    EXPECT_TRUE(heard) << heard.error().message;
    return heard.value_or(SpeechAnswer(Error{}));
  };
  EXPECT_EQ(std::get<SpeechReady>(there_and_back(SpeechReady{Millis(9), 0, "NPU"})).encoder,
            "NPU");
  const Segment segment{Millis(1), Millis(2), "a", 1, {}, "GPU.0"};
  const SpeechAnswer progress = there_and_back(SpeechProgress{segment, 0});
  EXPECT_EQ(std::get<SpeechProgress>(progress).segment->encoder, "GPU.0");
  EXPECT_FALSE(std::get<SpeechProgress>(progress).segment->speaker);

  SpeechDone done{Millis(7)};
  EXPECT_EQ(speech_line(done).find("encoder"), std::string::npos);
  for (size_t i = 0; i < kEncoderChangesMax; ++i) {
    done.encoder_changes.push_back({"NPU", "CPU", "device \"lost\"", Millis(int64_t(i))});
  }
  const SpeechAnswer back = there_and_back(done);
  const auto& changes = std::get<SpeechDone>(back).encoder_changes;
  ASSERT_EQ(changes.size(), kEncoderChangesMax);
  EXPECT_EQ(changes[3].from, "NPU");
  EXPECT_EQ(changes[3].to, "CPU");
  EXPECT_EQ(changes[3].cause, "device \"lost\"");
  EXPECT_EQ(changes[3].at, Millis(3));
  done.encoder_changes.push_back(changes[0]);
  EXPECT_EQ(parse_speech_answer(speech_line(done)).error().code, Code::kCorrupt);
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
           R"({"done":true,"audio_ms":1,"encoder_changes":7})",
           R"({"done":true,"audio_ms":1,"encoder_changes":{"at_ms":1}})",
           R"({"done":true,"audio_ms":1,"encoder_changes":["NPU"]})",
           R"({"done":true,"audio_ms":1,"encoder_changes":[{"from":"NPU"}]})",
           R"({"done":true,"audio_ms":1,"encoder_changes":[{"from":"NPU","at_ms":-1}]})",
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
