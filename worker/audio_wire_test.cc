// What is sent to external engines, and what of their answers is believed.
#include "worker/audio_wire.h"

#include <gtest/gtest.h>

#include "http/multipart.h"
#include "worker/wav.h"

namespace gantry {
namespace {

TEST(AudioForm, IsAFormWithAWav) {
  const std::vector<int16_t> samples = {1, -2, 3};
  const http::Request request = audio_form("/v1/x", {{"model", "m"}}, samples);
  EXPECT_EQ(request.method, "POST");
  const auto parts = http::parse_form(request.header("Content-Type"), request.body);
  ASSERT_TRUE(parts) << parts.error().message;
  ASSERT_EQ(parts->size(), 2U);
  EXPECT_EQ((*parts)[0].content, "m");
  EXPECT_EQ((*parts)[1].name, "file");
  const std::string_view wav = (*parts)[1].content;
  const auto info = parse_wav(std::as_bytes(std::span(wav)), Bytes{wav.size()});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->samples, 3U);
}

TEST(ParseHeard, SegmentsInTheirOrderWithinTheRecording) {
  const auto heard = parse_heard(
      R"({"text":"a b","segments":[{"start":1.5,"end":99,"text":" b ","avg_logprob":-0.5},
          {"start":0,"end":1,"text":"a"},{"start":1,"end":1,"text":" "}]})",
      Millis(2'000));
  ASSERT_TRUE(heard) << heard.error().message;
  ASSERT_EQ(heard->size(), 2U);
  EXPECT_EQ((*heard)[0].text, "a");
  EXPECT_EQ((*heard)[0].confidence, 1);
  EXPECT_EQ((*heard)[1].text, "b");
  EXPECT_EQ((*heard)[1].start, Millis(1'500));
  EXPECT_EQ((*heard)[1].end, Millis(2'000));
  EXPECT_NEAR((*heard)[1].confidence, 0.6065, 1e-3);
  const auto whole = parse_heard(R"({"text":" all of it "})", Millis(700));
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->size(), 1U);
  EXPECT_EQ(whole->front().text, "all of it");
  EXPECT_EQ(whole->front().end, Millis(700));
  EXPECT_TRUE(parse_heard(R"({"text":""})", Millis(700))->empty());
}

TEST(ParseHeard, RefusesWhatIsNoTranscript) {
  for (const char* body :
       {"", "<html>", "[]", "{}", R"({"text":7})", R"({"text":"a","segments":{}})",
        R"({"text":"a","segments":[7]})", R"({"text":"a","segments":[{"text":"a"}]})",
        R"({"text":"a","segments":[{"start":2,"end":1,"text":"a"}]})",
        R"({"text":"a","segments":[{"start":-1,"end":1,"text":"a"}]})",
        R"({"text":"a","segments":[{"start":0,"end":1e300,"text":"a"}]})"}) {
    const auto heard = parse_heard(body, Millis(1'000));
    ASSERT_FALSE(heard) << body;
    EXPECT_EQ(heard.error().code, Code::kCorrupt);
    EXPECT_NE(heard.error().message.find("answered"), std::string::npos);
  }
}

TEST(ParseDiarized, LabelsBecomeNumbersInTheOrderTheyAreHeard) {
  const auto turns = parse_diarized(
      R"({"turns":[{"start":2,"end":3,"speaker":"SPEAKER_00"},
                   {"start":0,"end":1,"speaker":"SPEAKER_07"},
                   {"start":4,"end":5,"speaker":"SPEAKER_07"}]})");
  ASSERT_TRUE(turns) << turns.error().message;
  EXPECT_EQ(*turns, (std::vector<SpeakerTurn>{{Millis(0), Millis(1'000), 0},
                                              {Millis(2'000), Millis(3'000), 1},
                                              {Millis(4'000), Millis(5'000), 0}}));
  EXPECT_EQ(parse_diarized(R"({"segments":[{"start":0,"end":1,"speaker":3}]})")->size(), 1U);
  EXPECT_TRUE(parse_diarized(R"({"turns":[]})")->empty());
  std::string many = R"({"turns":[)";
  for (int i = 0; i <= static_cast<int>(kSpeakersMax); ++i) {
    many += (i == 0 ? "" : ",") + std::string(R"({"start":0,"end":1,"speaker":)") +
            std::to_string(i) + "}";
  }
  for (const std::string& body : {std::string("{}"), std::string("turns"), many + "]}",
                                  std::string(R"({"turns":[{"start":0,"end":1}]})")}) {
    EXPECT_FALSE(parse_diarized(body)) << body.substr(0, 60);
  }
}

TEST(RefusedBy, SaysTheServersWords) {
  EXPECT_EQ(refused_by(404, R"({"error":{"message":"no voice"}})").code, Code::kNotFound);
  EXPECT_NE(refused_by(400, R"({"detail":"too long"})").message.find("400: too long"),
            std::string::npos);
  EXPECT_EQ(refused_by(400, "x").code, Code::kUsage);
  EXPECT_EQ(refused_by(500, "\x01").code, Code::kWorkerFailed);
}

std::string wav(uint32_t rate, uint16_t channels, const std::string& pcm) {
  const auto put = [](uint64_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
    return out;
  };
  return "RIFF" + put(0xFFFFFFFF, 4) + "WAVE" + "LIST" + put(3, 4) + "abc" + put(0, 1) + "fmt " +
         put(16, 4) + put(1, 2) + put(channels, 2) + put(rate, 4) + put(rate * 2, 4) + put(2, 2) +
         put(16, 2) + "data" + put(0xFFFFFFFF, 4) + pcm;
}

TEST(WavStream, GivesWholeSamplesHoweverTheyCome) {
  const std::string pcm = "abcdefgh";
  const std::string all = wav(24'000, 1, pcm);
  for (size_t step = 1; step <= all.size(); ++step) {
    WavStream stream;
    std::string got;
    for (size_t at = 0; at < all.size(); at += step) {
      const auto more = stream.take(std::string_view(all).substr(at, step),
                                    [&got](std::string_view piece) {
                                      EXPECT_EQ(piece.size() % 2, 0U);
                                      got += piece;
                                      return true;
                                    });
      ASSERT_TRUE(more) << more.error().message;
    }
    EXPECT_EQ(got, pcm) << step;
    EXPECT_EQ(stream.rate(), 24'000U);
    EXPECT_EQ(stream.bytes(), pcm.size());
  }
}

TEST(WavStream, RefusesOtherSound) {
  for (const std::string& bytes :
       {std::string("<html>no such page"), wav(24'000, 2, "abcd"), wav(900, 1, "abcd"),
        "RIFF1234WAVE" + std::string(70'000, '\xFF')}) {
    WavStream stream;
    EXPECT_FALSE(stream.take(bytes, [](std::string_view) { return true; }));
  }
  WavStream stream;
  EXPECT_FALSE(*stream.take(wav(16'000, 1, "ab"), [](std::string_view) { return false; }));
}

TEST(ParseWritten, IsOneSegmentWithoutWhatStandsBeforeTheWords) {
  const auto written = [](const std::string& body) {
    return parse_written(body, Millis(2'000), 448);
  };
  const auto plain = written(R"({"text":" Stop it. ","usage":{"output_tokens":5}})");
  ASSERT_EQ(plain->size(), 1U);
  EXPECT_EQ(plain->front().text, "Stop it.");
  EXPECT_EQ(plain->front().end, Millis(2'000));
  EXPECT_FALSE(plain->front().low_confidence);
  EXPECT_EQ(written(R"({"text":"language English<asr_text>Stop it."})")->front().text, "Stop it.");
  EXPECT_TRUE(written(R"({"text":"language None<asr_text>"})")->empty());
  EXPECT_EQ(written(R"({"text":"a <asr_text> b"})")->front().text, "a <asr_text> b");
  EXPECT_TRUE(written(R"({"text":""})")->empty());
  const char* cut = R"({"text":"on and on","usage":{"output_tokens":448}})";
  EXPECT_TRUE(written(cut)->front().low_confidence);
  EXPECT_EQ(written(R"({"text":"a","usage":7})")->size(), 1U);
  for (const char* bad : {"{}", "<html>", R"({"text":7})", R"({"segments":[]})"}) {
    EXPECT_EQ(written(bad).error().code, Code::kCorrupt) << bad;
  }
}

}  // namespace
}  // namespace gantry
