// What llama.cpp's complaints mean, and an engine over a small real model.
#include "worker/measure_engine.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "worker/test_bench.h"

namespace gantry {
namespace {

TEST(EngineError, MemoryIsToldFromTheRest) {
  const auto code = [](const char* complaint) { return engine_error("x", complaint).code; };
  EXPECT_EQ(code("unable to allocate CUDA0 buffer"), Code::kDoesNotFit);
  EXPECT_EQ(code("cudaMalloc failed: out of memory"), Code::kDoesNotFit);
  EXPECT_EQ(code("missing tensor 'blk.0.attn_q.weight'"), Code::kWorkerFailed);
  EXPECT_EQ(engine_error("cannot load m", "missing tensor").message,
            "cannot load m: missing tensor");
  EXPECT_EQ(engine_error("cannot load m", "").message,
            "cannot load m: llama.cpp gives no reason");
}

class MeasureEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!exists(options_.model) || !exists(options_.engine_dir)) {
      GTEST_SKIP() << "the micro model or the engines are not there";
    }
    options_.prompt = 40;
    options_.decode = 4;
    options_.batch = options_.ubatch = 16;  // the prompt takes several steps
    options_.threads = 1;
  }
  std::vector<int32_t> written(MeasureEngine& engine, int sequences) {
    std::vector<int32_t> prompt, out;
    for (int i = 0; i < options_.prompt; ++i) prompt.push_back(i % engine.vocabulary());
    engine.clear();
    EXPECT_TRUE(engine.read(prompt, 0));
    engine.share(sequences);
    std::vector<int32_t> tokens(static_cast<size_t>(sequences), 7);
    for (int i = 0; i < options_.decode; ++i) {
      EXPECT_TRUE(engine.write(tokens, options_.prompt + i));
      out.insert(out.end(), tokens.begin(), tokens.end());
    }
    return out;
  }

  std::atomic<bool> cancel_{false};
  MeasureOptions options_{.model = model_file("micro-minutes.gguf"),
                          .engine_dir = GANTRY_ENGINE_DIR};
};

TEST_F(MeasureEngineTest, WritesTheSameAgainAndTheSameInEverySequence) {
  options_.sequences = 3;
  const auto engine = load_engine(options_, cancel_);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_GT((*engine)->layers(), 0);
  EXPECT_GE((*engine)->batch(), 16);
  const std::vector<int32_t> one = written(**engine, 1);
  EXPECT_EQ(one, written(**engine, 1));
  const std::vector<int32_t> three = written(**engine, 3);
  ASSERT_EQ(three.size(), 3 * one.size());
  for (size_t i = 0; i < three.size(); i += 3) {
    EXPECT_EQ(three[i], three[i + 1]);
    EXPECT_EQ(three[i], three[i + 2]);
  }
  EXPECT_TRUE((*engine)->statistics().is_null());  // no plugin, no statistics
}

TEST_F(MeasureEngineTest, ACancelEndsWhatRuns) {
  const auto engine = load_engine(options_, cancel_);
  ASSERT_TRUE(engine) << engine.error().message;
  cancel_ = true;
  std::vector<int32_t> tokens = {1};
  const Result<void> done = (*engine)->write(tokens, 0);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCancelled);
  const auto second = load_engine(options_, cancel_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kCancelled);
}

TEST_F(MeasureEngineTest, AContextThatIsTooSmallIsSaid) {
  options_.context = 256;
  const auto engine = load_engine(options_, cancel_);
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<int32_t> many(400, 1);
  const Result<void> done = (*engine)->read(many, 0);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kDoesNotFit) << done.error().message;
}

}  // namespace
}  // namespace gantry
