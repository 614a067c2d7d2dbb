// The client against workers that lie, hang, and die.
#include "worker/speech_client.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "worker/test_bench.h"

namespace gantry {
namespace {

constexpr char kReady[] = R"(echo '{"ready":true,"window_ms":3800}'; )";
constexpr char kSegment[] =
    R"(echo '{"segment":{"start_ms":0,"end_ms":9,"text":"a","confidence":1},"progress":0.5}'; )";

class SpeechClientTest : public testing::Test {
 protected:
  // A worker that is a shell script; $REPLY is the request it has read.
  std::unique_ptr<Worker> client(const std::string& script) {
    ProcessSpec spec = worker_process(bench_context(folder_), "m");
    spec.argv = {"bash", "-c", script};
    spec.pipe_io = true;
    auto child = Child::start(*os_, spec, "the speech worker for m");
    const SpeechLimits limits{
        .ready = Millis(5000), .silent = Millis(400), .cancel = Millis(300), .segments = 3};
    return child ? make_speech_client(std::move(*child), limits) : nullptr;
  }
  Result<std::vector<Segment>> ask(Worker& worker) {
    return worker.transcribe({"/a.wav"}, cancel_,
                             [this](const Segment& s, Progress) { heard_.push_back(s.text); });
  }
  // The answer is this error, with the words in it, and the process is gone.
  void breaks(const std::string& script, Code code, const std::string& words) {
    auto w = client(std::string(kReady) + script);
    ASSERT_TRUE(w->ready(cancel_)) << script;
    const auto got = ask(*w);
    ASSERT_FALSE(got) << script;
    EXPECT_EQ(got.error().code, code) << got.error().message;
    EXPECT_NE(got.error().message.find(words), std::string::npos) << got.error().message;
    EXPECT_NE(::kill(w->pid(), 0), 0) << script;
    EXPECT_FALSE(w->alive());
  }

  TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
  http::Cancel cancel_{false};
  std::vector<std::string> heard_;
};

TEST_F(SpeechClientTest, TellsWhereToBeginAndHowFarItIs) {
  auto w = client(std::string(kReady) + R"(read; case $REPLY in *'"from_ms":60000'*) echo )" +
                  R"('{"segment":{"start_ms":0,"end_ms":9,"text":"a","confidence":1},)" +
                  R"("progress":0.5,"heard_ms":90000}';; esac; )" +
                  R"(echo '{"done":true,"audio_ms":9}'; read; )");
  ASSERT_TRUE(w->ready(cancel_));
  Millis heard{0};
  const auto got = w->transcribe({"/a.wav", Millis(60'000)}, cancel_,
                                 [&](const Segment&, Progress p) { heard = p.heard; });
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(heard, Millis(90'000));
}

TEST_F(SpeechClientTest, CollectsSegments) {
  auto w = client(std::string(kReady) + "read; echo \"$REPLY\" >&2; " + kSegment +
                  R"(echo '{"progress":0.7}'; echo '{"done":true,"audio_ms":10}'; read; )");
  ASSERT_TRUE(w->ready(cancel_));
  const auto got = ask(*w);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->size(), 1U);
  EXPECT_EQ(heard_, std::vector<std::string>{"a"});
  EXPECT_NE(slurp(worker_log_path(folder_.path(), "m")).find(R"("wav":"/a.wav")"),
            std::string::npos);
  w->stop();
  EXPECT_FALSE(w->alive());
}

TEST_F(SpeechClientTest, WhatBecameOfTheEncoderIsOfTheLastRecording) {
  const std::string changed =
      R"(echo '{"done":true,"audio_ms":10,"encoder_changes":[{"from":"NPU","to":"CPU",)"
      R"("cause":"lost","at_ms":7}]}'; )";
  auto w = client(std::string(kReady) + "read; " + changed +
                  R"(read; echo '{"done":true,"audio_ms":10}'; read; )" + changed + "read");
  ASSERT_TRUE(w->ready(cancel_));
  EXPECT_TRUE(w->encoder_changes().empty());
  ASSERT_TRUE(ask(*w));
  ASSERT_EQ(w->encoder_changes().size(), 1U);
  EXPECT_EQ(w->encoder_changes()[0].from, "NPU");
  EXPECT_EQ(w->encoder_changes()[0].to, "CPU");
  EXPECT_EQ(w->encoder_changes()[0].cause, "lost");
  EXPECT_EQ(w->encoder_changes()[0].at, Millis(7));
  ASSERT_TRUE(ask(*w));
  EXPECT_TRUE(w->encoder_changes().empty());
  ASSERT_TRUE(ask(*w));
  EXPECT_EQ(w->encoder_changes().size(), 1U);
  http::Cancel now{true};  // what the one before said is not its own
  EXPECT_FALSE(w->transcribe({"/a.wav"}, now, {}));
  EXPECT_TRUE(w->encoder_changes().empty());
}

TEST_F(SpeechClientTest, ItsOwnErrorsPassThroughAndItLives) {
  auto w = client(std::string(kReady) + R"(while read; do
      echo '{"error":{"code":"corrupt","message":"not a wav","remedy":"convert it"}}'; done)");
  ASSERT_TRUE(w->ready(cancel_));
  for (int i = 0; i < 2; ++i) {
    const auto got = ask(*w);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::kCorrupt);
    EXPECT_EQ(got.error().remedy, "convert it");
  }
  EXPECT_TRUE(w->alive());
}

TEST_F(SpeechClientTest, WhateverBreaksTheProtocolEndsIt) {
  breaks("read; echo garbage; read", Code::kWorkerFailed, "broke the protocol");
  breaks("read; echo '{}'; read", Code::kWorkerFailed, "broke the protocol");
  breaks("read; yes | tr -d '\\n'", Code::kWorkerFailed, "failed");
  breaks(std::string("read; ") + kReady + "read", Code::kWorkerFailed, "ready twice");
  breaks(std::string("read; ") + kSegment + kSegment + kSegment + kSegment + "read",
         Code::kWorkerFailed, "too many segments");
}

TEST_F(SpeechClientTest, DeathInTheMiddleComesWithEvidence) {
  breaks(std::string("read; ") + kSegment + "echo ouch >&2; kill -9 $$", Code::kWorkerFailed,
         "signal 9");
  breaks("read; echo ouch >&2; exit 3", Code::kWorkerFailed, "exit status 3: ouch");
}

TEST_F(SpeechClientTest, AHangIsATimeout) {
  breaks("read; sleep 100", Code::kTimeout, "no sign of life");
}

TEST_F(SpeechClientTest, FailsToLoad) {
  auto w = client(R"(echo '{"error":{"code":"unsupported","message":"no whisper model"}}')");
  EXPECT_EQ(w->ready(cancel_).error().code, Code::kUnsupported);
  auto dead = client("echo no library >&2; exit 127");
  const auto got = dead->ready(cancel_);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("exit status 127: no library"), std::string::npos);
}

TEST_F(SpeechClientTest, CancelIsObeyedAndTheWorkerGoesOn) {
  auto w = client(std::string(kReady) + R"(while read; do case "$REPLY" in
      *cancel*) echo '{"error":{"code":"cancelled","message":"cancelled"}}';; esac; done)");
  ASSERT_TRUE(w->ready(cancel_));
  cancel_ = true;
  EXPECT_EQ(ask(*w).error().code, Code::kCancelled);
  EXPECT_TRUE(w->alive());
}

TEST_F(SpeechClientTest, WhoDoesNotObeyACancelIsKilled) {
  auto w = client(std::string(kReady) + "sleep 100");
  ASSERT_TRUE(w->ready(cancel_));
  cancel_ = true;
  EXPECT_EQ(ask(*w).error().code, Code::kCancelled);
  EXPECT_FALSE(w->alive());
}

TEST_F(SpeechClientTest, StopFromAnotherThreadEndsARequest) {
  auto w = client(std::string(kReady) + "read; touch '" + folder_.file("busy") +
                  "'; while :; do echo '{\"progress\":0.1}'; sleep 0.05; done");
  ASSERT_TRUE(w->ready(cancel_));
  std::thread stopper([&] {
    while (!exists(folder_.file("busy"))) os_->sleep(Millis(5));
    w->stop();
  });
  EXPECT_EQ(ask(*w).error().code, Code::kWorkerFailed);
  stopper.join();
}

TEST(SpeechArgv, CarriesOutThePlan) {
  WorkerContext context;
  context.worker_exe = "/bin/gantry-worker";
  context.engine_dir = "/engines";
  WorkerSpec spec;
  spec.file = "/m.bin";
  EXPECT_EQ(speech_argv(context, spec),
            (std::vector<std::string>{"/bin/gantry-worker", "--engines", "/engines", "speech",
                                      "--model", "/m.bin", "--threads", "1", "--language",
                                      "auto"}));
  spec.placement.layers.resident = 4;
  EXPECT_EQ(speech_argv(context, spec).back(), "auto");
  spec.devices = {"CUDA1"};  // the plan's
  const auto argv = speech_argv(context, spec);
  EXPECT_EQ(argv[argv.size() - 2], "--device");
  EXPECT_EQ(argv.back(), "CUDA1");
}

TEST(SpeechArgv, AnEncoderIsAskedForByName) {
  WorkerContext context;
  WorkerSpec spec;
  spec.file = "/m.bin";
  const size_t bare = speech_argv(context, spec).size();
  context.encoder_dir = "/state/encoders";
  EXPECT_EQ(speech_argv(context, spec).size(), bare);  // nobody asked
  spec.encoder = "npu";
  const auto kept = speech_argv(context, spec);
  EXPECT_EQ(std::vector<std::string>(kept.end() - 4, kept.end()),
            (std::vector<std::string>{"--encoder", "npu", "--encoder-dir", "/state/encoders"}));
  context.encoder_dir.clear();
  const auto beside = speech_argv(context, spec);
  EXPECT_EQ(beside.size(), bare + 2);
  EXPECT_EQ(beside.back(), "npu");
}

}  // namespace
}  // namespace gantry
