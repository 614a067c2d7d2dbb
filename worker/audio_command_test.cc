// External engines for sound: what they must show at their start, and what they may answer later.
#include "worker/audio_command.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "worker/http_worker.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

constexpr const char* kSpeechPath = "/v1/audio/speech";

std::string wav_text(uint32_t rate, size_t samples) {
  std::string wav = wav_bytes(std::vector<int16_t>(samples, 1'000));
  for (size_t i = 0; i < 4; ++i) wav[24 + i] = static_cast<char>(rate >> (8 * i) & 0xFF);
  return wav;
}

class AudioCommandTest : public testing::Test {
 protected:
  void SetUp() override { address_.unix_path = folder_.file("a.sock"); }

  void serve(http::Handler handler) {
    auto server = http::serve({.listen = {address_}}, [handler](http::Exchange& exchange) {
      if (exchange.request().path() == "/health") return exchange.reply({});
      handler(exchange);
    });
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  std::unique_ptr<Worker> worker(const std::string& kind,
                                 EngineKind engine = EngineKind::kCommand) {
    ProcessSpec process = worker_process(bench_context(folder_), "m");
    process.argv = {"sleep", "100"};
    auto child = Child::start(*os_, process, "the command of m");
    if (!child) return nullptr;
    WorkerSpec spec;
    spec.model = "m";
    spec.engine = engine;
    spec.voice.engine = kind;
    if (engine == EngineKind::kCommand) {
      spec.voice.options = {{"test_s", "1"}, {"language", "en"}};
    }
    spec.voice.voices = {{"anna", "f1"}};
    return make_audio_command(make_http_worker(*os_, std::move(*child), {address_, "/health"}),
                              spec, {.silent = Millis(1'000)});
  }

  const TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
  http::Address address_;
  std::unique_ptr<http::Server> server_;
  http::Cancel cancel_{false};
};

TEST_F(AudioCommandTest, ARecordingIsHeardPieceByPiece) {
  std::atomic<int> asked{0};
  serve([&asked](http::Exchange& exchange) {
    EXPECT_EQ(exchange.request().path(), "/v1/audio/transcriptions");
    EXPECT_NE(exchange.request().body.find("name=\"language\"\r\n\r\nen\r\n"), std::string::npos);
    ++asked;
    exchange.reply({.body = R"({"text":"x","segments":[{"start":0.5,"end":1,"text":"x"}]})"});
  });
  auto w = worker("speech");
  ASSERT_TRUE(w->ready(cancel_));
  EXPECT_EQ(asked, 1);
  const auto heard = w->transcribe({test_data("stop_the_radio.wav")}, cancel_, nullptr);
  ASSERT_TRUE(heard) << heard.error().message;
  ASSERT_EQ(heard->size(), 1U);
  EXPECT_EQ(heard->front().text, "x");
  EXPECT_EQ(asked, 2);
  const Hearing nothing{test_data("stop_the_radio.wav"), Millis(60'000)};
  EXPECT_TRUE(w->transcribe(nothing, cancel_, nullptr)->empty());
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(w->speak({"hello"}, cancel_, nullptr).error().code, Code::kUnsupported);
}

TEST_F(AudioCommandTest, AModelOfLlamaServerIsAskedWithoutATest) {
  std::atomic<int> asked{0};
  serve([&asked](http::Exchange& exchange) {
    const std::string& body = exchange.request().body;
    for (const char* field : {"response_format\"\r\n\r\njson\r\n", "temperature\"\r\n\r\n0\r\n",
                              "max_tokens\"\r\n\r\n448\r\n"}) {
      EXPECT_NE(body.find(field), std::string::npos) << field;
    }
    ++asked;
    exchange.reply({.body = R"({"text":"language English<asr_text>Stop the radio."})"});
  });
  auto w = worker("speech", EngineKind::kLlama);
  ASSERT_TRUE(w->ready(cancel_));
  EXPECT_EQ(asked, 0);
  const Hearing speech{test_data("stop_the_radio.wav"), Millis(0),
                       std::vector<SpeechSpan>{{Millis(240), Millis(1'300)}}};
  const auto heard = w->transcribe(speech, cancel_, nullptr);
  ASSERT_TRUE(heard) << heard.error().message;
  ASSERT_EQ(heard->size(), 1U);
  EXPECT_EQ(heard->front().text, "Stop the radio.");
  EXPECT_EQ(heard->front().start, Millis(240));
  EXPECT_EQ(heard->front().end, Millis(1'300));
}

TEST_F(AudioCommandTest, AVoiceSpeaksAsItsTestDid) {
  std::atomic<uint32_t> rate{24'000};
  serve([&rate](http::Exchange& exchange) {
    EXPECT_EQ(exchange.request().path(), kSpeechPath);
    EXPECT_NE(exchange.request().body.find(R"("voice":"f1")"), std::string::npos);
    exchange.reply({.body = wav_text(rate, 2'000)});
  });
  auto w = worker("voice");
  ASSERT_TRUE(w->ready(cancel_));
  EXPECT_EQ(w->sound_rate(), 24'000U);
  size_t bytes = 0;
  const auto take = [&bytes](std::string_view pcm) {
    bytes += pcm.size();
    return true;
  };
  EXPECT_TRUE(w->speak({"hello", "anna"}, cancel_, take));
  EXPECT_EQ(bytes, 4'000U);
  EXPECT_EQ(w->speak({"hello", "joe"}, cancel_, take).error().code, Code::kNotFound);
  EXPECT_TRUE(w->alive());
  rate = 16'000;
  EXPECT_EQ(w->speak({"hello"}, cancel_, take).error().code, Code::kWorkerFailed);
  EXPECT_FALSE(w->alive());
}

TEST_F(AudioCommandTest, SpeakersAreToldApart) {
  serve([](http::Exchange& exchange) {
    exchange.reply({.body = R"({"turns":[{"start":0,"end":1,"speaker":"B"}]})"});
  });
  auto w = worker("diarization");
  ASSERT_TRUE(w->ready(cancel_));
  const auto turns = w->diarize(test_data("stop_the_radio.wav"), {.speakers = 2}, cancel_, nullptr);
  ASSERT_TRUE(turns) << turns.error().message;
  EXPECT_EQ(turns->size(), 1U);
}

TEST_F(AudioCommandTest, GarbageAtTheStartIsNoEngine) {
  for (const char* kind : {"speech", "voice", "diarization"}) {
    server_.reset();  // a worker takes the socket with it
    serve([](http::Exchange& exchange) { exchange.reply({.body = "<html>welcome"}); });
    auto w = worker(kind);
    const Result<void> ready = w->ready(cancel_);
    ASSERT_FALSE(ready) << kind;
    EXPECT_EQ(ready.error().code, Code::kWorkerFailed);
    EXPECT_NE(ready.error().message.find("m did not pass its test at start-up"),
              std::string::npos) << ready.error().message;
    EXPECT_FALSE(w->alive());
  }
}

TEST_F(AudioCommandTest, OneThatHangsIsEndedInTime) {
  std::atomic<bool> stop{false};
  serve([&stop](http::Exchange& exchange) {
    while (!stop && !exchange.gone()) std::this_thread::sleep_for(Millis(5));
    exchange.reply({});
  });
  auto w = worker("voice");
  const Result<void> ready = w->ready(cancel_);
  stop = true;
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kTimeout);
  EXPECT_FALSE(w->alive());
}

TEST_F(AudioCommandTest, ARefusalIsAnErrorAndNoMore) {
  std::atomic<int> asked{0};
  serve([&asked](http::Exchange& exchange) {
    if (++asked == 1) return exchange.reply({.body = R"({"text":""})"});
    exchange.reply({.status = asked == 2 ? 400 : 500, .body = R"({"error":"no"})"});
  });
  auto w = worker("speech");
  ASSERT_TRUE(w->ready(cancel_));
  const std::string wav = test_data("stop_the_radio.wav");
  EXPECT_EQ(w->transcribe({wav}, cancel_, nullptr).error().code, Code::kUsage);
  EXPECT_TRUE(w->alive());
  EXPECT_EQ(w->transcribe({wav}, cancel_, nullptr).error().code, Code::kWorkerFailed);
  EXPECT_FALSE(w->alive());
}

}  // namespace
}  // namespace gantry
