// The shipped language model behind a real llama-server.
#include "npu/language.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "npu/device_chain.h"

namespace gantry {
namespace {

class LanguageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/gantry-npu-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
    context.run_dir = context.log_dir = dir;
    context.engine_dir = GANTRY_ENGINE_DIR;
  }
  void TearDown() override { std::filesystem::remove_all(dir); }

  std::unique_ptr<LanguageModel> open(uint32_t prompt_max) {
    auto model = LanguageModel::open(*os, clock, context, {"small", file, prompt_max});
    EXPECT_TRUE(model) << (model ? "" : describe(model.error()));
    return model ? std::move(*model) : nullptr;
  }
  static Question question(const std::string& prompt) {
    Question out;
    out.prompt = prompt;
    out.answer_tokens = 12;
    out.sampling = {{"temperature", 0}};
    return out;
  }

  // SIGSTOP works some time after it was sent: until then a thread may close or take a connection.
  static bool stopped(int pid) {
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
      std::ifstream file(task.path() / "stat");
      const std::string stat((std::istreambuf_iterator<char>(file)), {});
      if (stat.find(") T ") == stat.npos) return false;
    }
    return true;
  }

  // How many ends of unix sockets the test's processes have.
  size_t sockets() const {
    std::ifstream table("/proc/net/unix");
    size_t count = 0;
    for (std::string line; std::getline(table, line);) count += line.find(dir) != line.npos;
    return count;
  }

  std::unique_ptr<Os> os = make_real_os();
  FakeClock clock;
  std::string dir, file = std::string(GANTRY_MODELS_DIR) + "/micro-minutes.gguf";
  WorkerContext context;
  http::Cancel gone{false};
};

TEST_F(LanguageTest, AnswersWholeAndInPiecesAndAfterAKill) {
  const auto model = open(64);
  EXPECT_FALSE(model->status().loaded);
  const auto whole = model->answer(question("Hello."), gone, nullptr);
  ASSERT_TRUE(whole) << describe(whole.error());
  EXPECT_FALSE(whole->text.empty());
  EXPECT_GT(whole->prompt_tokens, 0U);
  std::string pieces;
  const auto streamed = model->answer(question("Hello."), gone, [&](std::string_view piece) {
    pieces += piece;
    return true;
  });
  ASSERT_TRUE(streamed) << describe(streamed.error());
  EXPECT_EQ(pieces, whole->text);
  EXPECT_EQ(streamed->text, whole->text);
  EXPECT_EQ(streamed->tokens, whole->tokens);

  const LanguageStatus before = model->status();
  ASSERT_TRUE(before.loaded);
  ASSERT_EQ(::kill(before.pid, SIGKILL), 0);
  const auto again = model->answer(question("Hello."), gone, nullptr);
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(again->text, whole->text);
  EXPECT_EQ(model->status().restarts, 1U);
  EXPECT_NE(model->status().pid, before.pid);

  std::string longer;
  for (int i = 0; i < 64; ++i) longer += "hello ";
  const auto refused = model->answer(question(longer), gone, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
  EXPECT_NE(refused.error().message.find("at most 64"), std::string::npos);
}

// On OpenVINO's CPU device, with shapes as the graph has them and with those of an NPU.
TEST_F(LanguageTest, OpenVinosBackendSaysWhatGgmlSays) {
  LanguageOptions options{"small", file, 64};
  const auto answer = [&] {
    auto model = LanguageModel::open(*os, clock, context, options);
    EXPECT_TRUE(model) << describe(model.error());
    Result<Answer> said = (*model)->answer(question("stop the radio"), gone, nullptr);
    EXPECT_TRUE(said) << describe(said.error());
    const LanguageStatus status = (*model)->status();
    EXPECT_EQ(status.device, options.devices.empty() ? kGgml : "CPU");
    EXPECT_TRUE(status.refused.empty());
    return said ? said->text : "";
  };
  const std::string ggml = answer();
  EXPECT_FALSE(ggml.empty());
  options.devices = {"CPU"};
  options.backend = GANTRY_GGML_OPENVINO;
  EXPECT_EQ(answer(), ggml);
  options.fixed = true;
  EXPECT_EQ(answer(), ggml);
}

TEST_F(LanguageTest, ADeviceThatDoesNotTakeTheModelIsNamedAndTriedAgainLater) {
  LanguageOptions options{"small", file, 64};
  options.devices = {"NPU", "GPU"};
  options.backend = dir + "/no-backend.so";
  const auto opened = LanguageModel::open(*os, clock, context, options);
  ASSERT_TRUE(opened) << describe(opened.error());
  LanguageModel& model = **opened;
  EXPECT_EQ(model.status().device, "NPU");
  ASSERT_TRUE(model.answer(question("stop the radio"), gone, nullptr));
  const LanguageStatus left = model.status();
  EXPECT_EQ(left.device, kGgml);
  ASSERT_EQ(left.refused.size(), 2U);
  EXPECT_EQ(left.refused[0].device, "NPU");
  EXPECT_EQ(left.refused[1].device, "GPU");
  EXPECT_NE(left.refused[0].cause.find("OPENVINO0"), std::string::npos) << left.refused[0].cause;
  // Within the rest a new process is ggml's at once; after it, the devices are asked again.
  ASSERT_EQ(::kill(left.pid, SIGKILL), 0);
  ASSERT_TRUE(model.answer(question("stop the radio"), gone, nullptr));
  EXPECT_EQ(model.status().refused.size(), 2U);
  clock.advance(kDeviceRest);
  ASSERT_EQ(::kill(model.status().pid, SIGKILL), 0);
  ASSERT_TRUE(model.answer(question("stop the radio"), gone, nullptr));
  EXPECT_EQ(model.status().refused.size(), 2U);
  EXPECT_EQ(model.status().restarts, 2U);
}

TEST_F(LanguageTest, ADeviceThatIsLostWhileItComputesCostsNoAnswer) {
  LanguageOptions options{"small", file, 64};
  options.devices = {"CPU"};
  options.backend = GANTRY_GGML_OPENVINO;
  const auto opened = LanguageModel::open(*os, clock, context, options);
  ASSERT_TRUE(opened) << describe(opened.error());
  LanguageModel& model = **opened;
  const auto whole = model.answer(question("stop the radio"), gone, nullptr);
  ASSERT_TRUE(whole) << describe(whole.error());
  ASSERT_EQ(model.status().device, "CPU");
  // Stopped it is connected to, and does not answer.
  const int pid = model.status().pid;
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  while (!stopped(pid)) std::this_thread::yield();
  const size_t before = sockets();
  std::thread killer([&] {
    while (sockets() <= before) std::this_thread::yield();
    ::kill(pid, SIGKILL);
  });
  const auto again = model.answer(question("stop the radio"), gone, nullptr);
  killer.join();
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(again->text, whole->text);
  const LanguageStatus status = model.status();
  EXPECT_EQ(status.device, kGgml);
  ASSERT_EQ(status.refused.size(), 1U);
  EXPECT_EQ(status.refused[0].device, "CPU");
}

TEST_F(LanguageTest, FilesThatGenerateNothing) {
  file = std::string(GANTRY_MODELS_DIR) + "/micro-embed-en.gguf";
  EXPECT_EQ(LanguageModel::open(*os, clock, context, {"x", file}).error().code, Code::kUnsupported);
  file = std::string(GANTRY_MODELS_DIR) + "/micro-asr.bin";
  EXPECT_EQ(LanguageModel::open(*os, clock, context, {"x", file}).error().code, Code::kUnsupported);
  EXPECT_EQ(LanguageModel::open(*os, clock, context, {"x", dir + "/none"}).error().code,
            Code::kNotFound);
}

TEST_F(LanguageTest, ThePromptLimitLeavesRoomForAnAnswer) {
  const LanguageStatus status = open(100'000)->status();
  EXPECT_EQ(status.prompt_max, status.context - 1);
  EXPECT_EQ(open(64)->status().prompt_max, 64U);
}

}  // namespace
}  // namespace gantry
