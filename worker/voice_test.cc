// Which program is started for a voice, and the real ones behind the client.
#include "worker/voice.h"

#include <gtest/gtest.h>

#include "worker/test_bench.h"

namespace gantry {
namespace {

WorkerSpec tones() {
  WorkerSpec spec;
  spec.model = "tones";
  spec.engine = EngineKind::kVoice;
  spec.file = std::string(GANTRY_VOICE_MODELS) + "/tones.onnx";
  spec.voice = {"vits", {{"tokens", std::string(GANTRY_VOICE_MODELS) + "/tones.txt"}},
                {{"high", "1"}}, {}};
  return spec;
}

TEST(VoiceArgv, ByEngine) {
  const WorkerContext context{.worker_exe = "/bin/gantry-worker"};
  WorkerSpec spec;
  spec.model = "m";
  spec.file = "/a.onnx";
  spec.voice = {"pyannote", {{"embedding", "/e.onnx"}}, {}, {2, 0.5}};
  EXPECT_EQ(*voice_argv(context, spec),
            (std::vector<std::string>{"/bin/gantry-voice", "pyannote", "--threads", "1", "--set",
                                      "model=/a.onnx", "--set", "embedding=/e.onnx",
                                      "--speakers", "2", "--threshold", "0.500000"}));
  spec.voice = {"espeak-ng", {}, {{"anna", "en-us+f3"}}, {}};
  EXPECT_EQ(*voice_argv(context, spec),
            (std::vector<std::string>{"/bin/gantry-espeak", "--voice", "anna=en-us+f3"}));
  spec.voice = {"pocket-gguf", {{"projector", "/p.gguf"}, {"stream", "light"}}, {}, {}};
  EXPECT_EQ(*voice_argv({.engine_dir = "/e", .worker_exe = "/bin/gantry-worker"}, spec),
            (std::vector<std::string>{"/bin/gantry-worker", "--engines", "/e", "tts", "--threads",
                                      "1", "--model", "/a.onnx", "--projector", "/p.gguf",
                                      "--stream", "light", "--plugin",
                                      "/bin/libggml-gantry.so"}));
  spec.voice.engine = "coqui";
  EXPECT_FALSE(voice_argv(context, spec));
}

TEST(VoiceWorker, SpeaksIsCalledOffAndSpeaksOn) {
  const TestFolder folder;
  const auto os = make_real_os();
  const http::Cancel never{false};
  auto worker = start_worker(*os, bench_context(folder), tones());
  ASSERT_TRUE(worker) << worker.error().message;
  ASSERT_TRUE((*worker)->ready(never));
  EXPECT_EQ((*worker)->sound_rate(), 16'000U);
  size_t bytes = 0;
  const auto count = [&bytes](std::string_view pcm) {
    bytes += pcm.size();
    return true;
  };
  ASSERT_TRUE((*worker)->speak({"hello", "high", 1}, never, count));
  EXPECT_EQ(bytes, 5 * 960 * 2U);
  const auto refused = (*worker)->speak({"hello", "nobody", 1}, never, count);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  const auto off =
      (*worker)->speak({"hello", "high", 1}, never, [](std::string_view) { return false; });
  ASSERT_FALSE(off);
  EXPECT_EQ(off.error().code, Code::kCancelled);
  EXPECT_TRUE((*worker)->speak({"hello", "", 1}, never, count));
  EXPECT_EQ((*worker)->diarize("/x.wav", {}, never, {}).error().code, Code::kUnsupported);
}

TEST(VoiceWorker, AModelThatIsNoneEndsTheWorkerWithItsLastWords) {
  const TestFolder folder;
  const auto os = make_real_os();
  WorkerSpec spec = tones();
  spec.file = std::string(GANTRY_VOICE_MODELS) + "/seg_energy.onnx";
  auto worker = start_worker(*os, bench_context(folder), spec);
  ASSERT_TRUE(worker);
  const Result<void> ready = (*worker)->ready(http::Cancel{false});
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kWorkerFailed);
  EXPECT_NE(ready.error().message.find("tones"), std::string::npos) << ready.error().message;
}

}  // namespace
}  // namespace gantry
