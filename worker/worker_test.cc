// The real engines with the micro models: load, answer, die, be gone.
#include "worker/worker.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "worker/test_bench.h"

namespace gantry {
namespace {

class Engines : public testing::Test {
 protected:
  void needs(const std::vector<std::string>& files) {
    for (const std::string& file : files) {
      if (!exists(file)) GTEST_SKIP() << file << " is not there";
    }
  }
  WorkerSpec llama(const std::string& model) const {
    WorkerSpec spec;
    spec.model = model;
    spec.file = model_file(model + ".gguf");
    spec.placement.context = 1024;
    return spec;
  }
  std::unique_ptr<Worker> load(const WorkerSpec& spec) {
    auto worker = start_worker(*os_, bench_context(folder_), spec);
    if (!worker) {
      ADD_FAILURE() << worker.error().message;
      return nullptr;
    }
    const Result<void> ready = (*worker)->ready(cancel_);
    EXPECT_TRUE(ready) << ready.error().message;
    return ready ? std::move(*worker) : nullptr;
  }
  std::string post(const Worker& worker, const std::string& path, const nlohmann::json& body) {
    const auto got = http::fetch(worker.address(),
                                 {.method = "POST",
                                  .target = path,
                                  .headers = {{"Content-Type", "application/json"}},
                                  .body = body.dump()},
                                 {});
    EXPECT_TRUE(got && got->status == 200) << (got ? got->body : got.error().message);
    return got ? got->body : "{}";
  }
  std::string chat(const Worker& worker, const nlohmann::json& content) {
    const nlohmann::json answer = nlohmann::json::parse(
        post(worker, "/v1/chat/completions",
             {{"messages", {{{"role", "user"}, {"content", content}}}},
              {"temperature", 0},
              {"max_tokens", 60}}));
    return answer["choices"][0]["message"]["content"];
  }

  const std::string server_ = std::string(GANTRY_ENGINE_DIR) + "/llama-server";
  TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
  http::Cancel cancel_{false};
};

TEST_F(Engines, LanguageAnswersAndLeavesNothing) {
  needs({server_, model_file("micro-minutes.gguf")});
  if (IsSkipped()) return;
  auto worker = load(llama("micro-minutes"));
  ASSERT_TRUE(worker);
  const std::string text =
      chat(*worker, "Minutes of this part:\nspeaker 1: turn on the kitchen light");
  EXPECT_NE(text.find("kitchen light"), std::string::npos) << text;
  EXPECT_TRUE(worker->alive());
  EXPECT_GT(os_->pss(worker->pid())->n, MiB(5).n);
  const int pid = worker->pid();
  const std::string socket = worker->address().unix_path;
  worker->stop();
  EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_FALSE(exists(socket));
  // The log holds what happened, never what was said.
  const std::string log = slurp(worker_log_path(folder_.path(), "micro-minutes"));
  EXPECT_FALSE(log.empty());
  EXPECT_EQ(log.find("turn on the"), std::string::npos);
}

TEST_F(Engines, KilledFromOutsideItIsExplained) {
  needs({server_, model_file("micro-minutes.gguf")});
  if (IsSkipped()) return;
  auto worker = load(llama("micro-minutes"));
  ASSERT_TRUE(worker);
  ::kill(worker->pid(), SIGKILL);
  Result<void> alive;
  while ((alive = worker->alive())) os_->sleep(Millis(5));
  EXPECT_EQ(alive.error().code, Code::kWorkerFailed);
  EXPECT_NE(alive.error().message.find("killed by signal 9"), std::string::npos);
  EXPECT_NE(alive.error().message.find("micro-minutes"), std::string::npos);
}

TEST_F(Engines, ADamagedModelIsEvidence) {
  needs({server_, model_file("micro-minutes.gguf")});
  if (IsSkipped()) return;
  const std::string whole = slurp(model_file("micro-minutes.gguf"));
  WorkerSpec spec = llama("damaged");
  spec.file = folder_.write("damaged.gguf", whole.substr(0, whole.size() / 2));
  auto worker = start_worker(*os_, bench_context(folder_), spec);
  ASSERT_TRUE(worker);
  const Result<void> ready = (*worker)->ready(cancel_);
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kWorkerFailed);
  EXPECT_NE(ready.error().message.find("exit status 1"), std::string::npos);
  EXPECT_NE(ready.error().message.find("tensor"), std::string::npos) << ready.error().message;
}

TEST_F(Engines, VisionReadsAPicture) {
  needs({server_, model_file("micro-vision.gguf"), model_file("micro-vision-mmproj.gguf"),
         test_data("panel.png.base64")});
  if (IsSkipped()) return;
  WorkerSpec spec = llama("micro-vision");
  spec.mmproj = model_file("micro-vision-mmproj.gguf");
  auto worker = load(spec);
  ASSERT_TRUE(worker);
  std::string picture = slurp(test_data("panel.png.base64"));
  std::erase(picture, '\n');
  const std::string text = chat(
      *worker,
      {{{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64," + picture}}}},
       {{"type", "text"}, {"text", "What is on the screen?"}}});
  EXPECT_EQ(text, slurp(test_data("panel.txt")));
}

TEST_F(Engines, EmbeddingsHaveLengthOne) {
  needs({server_, model_file("micro-embed-en.gguf")});
  if (IsSkipped()) return;
  WorkerSpec spec = llama("micro-embed-en");
  spec.embeddings = true;
  spec.placement.context = 64;
  auto worker = load(spec);
  ASSERT_TRUE(worker);
  const nlohmann::json answer =
      nlohmann::json::parse(post(*worker, "/v1/embeddings", {{"input", "turn on the light"}}));
  double square = 0;
  for (const double x : answer["data"][0]["embedding"]) square += x * x;
  EXPECT_NEAR(square, 1.0, 1e-3);
}

TEST_F(Engines, SpeechIsWrittenDown) {
  needs({model_file("micro-asr.bin"), test_data("stop_the_radio.wav")});
  if (IsSkipped()) return;
  WorkerSpec spec;
  spec.model = "micro-asr";
  spec.engine = EngineKind::kWhisper;
  spec.file = model_file("micro-asr.bin");
  auto worker = load(spec);
  ASSERT_TRUE(worker);
  const auto got = worker->transcribe({test_data("stop_the_radio.wav")}, cancel_, nullptr);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->size(), 1U);
  EXPECT_EQ((*got)[0].text, "stop the radio");
  EXPECT_EQ(worker->transcribe({folder_.file("none.wav")}, cancel_, nullptr).error().code,
            Code::kNotFound);
  ::kill(worker->pid(), SIGKILL);
  const auto dead = worker->transcribe({test_data("stop_the_radio.wav")}, cancel_, nullptr);
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, Code::kWorkerFailed);
  EXPECT_NE(dead.error().message.find("signal 9"), std::string::npos) << dead.error().message;
}

TEST_F(Engines, ALanguageModelIsNoSpeechModel) {
  needs({model_file("micro-minutes.gguf")});
  if (IsSkipped()) return;
  WorkerSpec spec;
  spec.model = "odd";
  spec.engine = EngineKind::kWhisper;
  spec.file = model_file("micro-minutes.gguf");
  auto worker = start_worker(*os_, bench_context(folder_), spec);
  ASSERT_TRUE(worker);
  EXPECT_EQ((*worker)->ready(cancel_).error().code, Code::kUnsupported);
}

TEST(StartWorker, TheDecoderIsNoModel) {
  const TestFolder folder;
  const std::unique_ptr<Os> os = make_real_os();
  WorkerSpec spec;
  spec.engine = EngineKind::kMedia;
  EXPECT_FALSE(start_worker(*os, bench_context(folder), spec));
}

// Shapes without learnt weights (lab/stream): their words depend on the sound.
TEST_F(Engines, ALanguageModelWritesDownWhatItHears) {
  WorkerSpec spec;
  spec.model = "asr";
  spec.file = folder_.file("m.gguf");
  spec.mmproj = folder_.file("p.gguf");
  spec.placement.context = 1024;
  spec.voice.engine = "speech";
  for (const char* kind : {"qwen3a", "parakeet"}) {
    SCOPED_TRACE(kind);
    const std::string line = "/usr/bin/python3 -B " GANTRY_MODELS_DIR
                             "/../lab/stream/make_listener.py " +
                             spec.file + " " + spec.mmproj + " " + kind;
    if (!exists(GANTRY_ENGINE_DIR) || std::system(line.c_str()) != 0) {
      GTEST_SKIP() << "the engine or python3 is not installed";
    }
    const auto w = load(spec);
    ASSERT_TRUE(w);
    const auto hear = [&](const char* wav) {
      const auto heard = w->transcribe({test_data(wav)}, cancel_, nullptr);
      EXPECT_TRUE(heard) << heard.error().message;
      EXPECT_EQ(heard->size(), 1U);
      return heard && heard->size() == 1 ? heard->front() : Segment{};
    };
    const Segment one = hear("stop_the_radio.wav"), other = hear("close_the_garage_door.wav");
    EXPECT_FALSE(one.text.empty());
    EXPECT_NE(one.text, other.text);
    EXPECT_EQ(hear("stop_the_radio.wav").text, one.text);
    EXPECT_GT(one.end, one.start);
    EXPECT_LE(one.end, Millis(1'449));
  }

  needs({model_file("micro-vision.gguf"), model_file("micro-vision-mmproj.gguf")});
  spec.file = model_file("micro-vision.gguf");
  spec.mmproj = model_file("micro-vision-mmproj.gguf");
  const auto eyes = load(spec);
  ASSERT_TRUE(eyes);
  const auto nothing = eyes->transcribe({test_data("stop_the_radio.wav")}, cancel_, nullptr);
  ASSERT_FALSE(nothing);
  EXPECT_NE(nothing.error().message.find("audio"), std::string::npos) << nothing.error().message;
}

}  // namespace
}  // namespace gantry
