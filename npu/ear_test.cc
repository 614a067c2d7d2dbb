// The shipped speech model in its own process.
#include "npu/ear.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

namespace gantry {
namespace {

std::string little(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

class EarTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/gantry-npu-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
    context.run_dir = context.log_dir = dir;
    context.engine_dir = GANTRY_ENGINE_DIR;
    context.worker_exe = GANTRY_WORKER_EXE;
  }
  void TearDown() override { std::filesystem::remove_all(dir); }

  std::unique_ptr<EarModel> open(uint32_t queue_max = 4) {
    EarOptions options{.name = "ear", .file = file};
    options.queue_max = queue_max;
    auto model = EarModel::open(*os, context, options);
    EXPECT_TRUE(model) << (model ? "" : describe(model.error()));
    return model ? std::move(*model) : nullptr;
  }
  // A second of a tone.
  std::string tone() {
    std::string data;
    for (int i = 0; i < 16'000; ++i) {
      const double x = 9'000 * std::sin(i * 0.17);
      data += little(static_cast<uint64_t>(static_cast<int16_t>(x)), 2);
    }
    const std::string path = dir + "/tone.wav";
    std::ofstream(path, std::ios::binary)
        << "RIFF" + little(36 + data.size(), 4) + "WAVEfmt " + little(16, 4) + little(1, 2) +
               little(1, 2) + little(16'000, 4) + little(32'000, 4) + little(2, 2) +
               little(16, 2) + "data" + little(data.size(), 4) + data;
    return path;
  }

  std::unique_ptr<Os> os = make_real_os();
  std::string dir, file = std::string(GANTRY_MODELS_DIR) + "/micro-asr.bin";
  WorkerContext context;
  http::Cancel gone{false};
};

TEST_F(EarTest, HearsAgainAfterAKill) {
  const auto ear = open();
  EXPECT_FALSE(ear->status().loaded);
  const auto first = ear->hear(tone(), Millis(1'000), gone);
  ASSERT_TRUE(first) << describe(first.error());
  const EarStatus before = ear->status();
  ASSERT_TRUE(before.loaded);
  EXPECT_EQ(before.recordings, 1U);
  EXPECT_EQ(before.heard, Millis(1'000));
  ASSERT_EQ(::kill(before.pid, SIGKILL), 0);
  const auto again = ear->hear(tone(), Millis(1'000), gone);
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(again->size(), first->size());
  const EarStatus after = ear->status();
  EXPECT_EQ(after.restarts, 1U);
  EXPECT_NE(after.pid, before.pid);
  EXPECT_EQ(after.waiting, 0U);
}

TEST_F(EarTest, OnlySoManyWaitAndWhoLeavesIsGone) {
  const auto ear = open(2);
  const std::string wav = tone();
  std::atomic<int> done{0}, busy{0};
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 8; ++i) {
      callers.emplace_back([&] {
        const auto heard = ear->hear(wav, Millis(1'000), gone);
        if (heard) ++done;
        if (!heard && heard.error().code == Code::kBusy) ++busy;
      });
    }
  }
  EXPECT_EQ(done + busy, 8);
  EXPECT_GE(done, 2);
  EXPECT_EQ(open(0)->hear(wav, Millis(1'000), gone).error().code, Code::kBusy);
  gone = true;
  EXPECT_EQ(ear->hear(wav, Millis(1'000), gone).error().code, Code::kCancelled);
  EXPECT_EQ(ear->status().waiting, 0U);
}

TEST_F(EarTest, WhatHearsNothing) {
  for (const char* other : {"micro-minutes.gguf", "micro-embed-en.gguf"}) {
    file = std::string(GANTRY_MODELS_DIR) + "/" + other;
    EXPECT_EQ(EarModel::open(*os, context, {"x", file}).error().code, Code::kUnsupported);
  }
  EXPECT_EQ(EarModel::open(*os, context, {"x", dir + "/none"}).error().code, Code::kNotFound);
  file = std::string(GANTRY_MODELS_DIR) + "/micro-asr.bin";
  context.worker_exe = dir + "/none";
  EXPECT_FALSE(open()->hear(tone(), Millis(1'000), gone));
}

}  // namespace
}  // namespace gantry
