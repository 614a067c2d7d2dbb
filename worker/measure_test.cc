// Events of a measurement, its limits, and the program around it.
#include "worker/measure.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/os.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

MeasureOptions small() {
  return {.model = model_file("micro-minutes.gguf"),
          .engine_dir = GANTRY_ENGINE_DIR,
          .threads = 1,
          .prompt = 8,
          .decode = 3,
          .warmup = 1,
          .iterations = 2};
}

bool there() { return exists(small().model) && exists(GANTRY_ENGINE_DIR); }

std::vector<nlohmann::json> events_of(const MeasureOptions& options) {
  std::vector<nlohmann::json> events;
  const std::atomic<bool> cancel{false};
  const Result<void> done =
      measure(options, cancel, [&events](const nlohmann::json& e) { events.push_back(e); });
  EXPECT_TRUE(done) << done.error().message;
  return events;
}

TEST(Measure, ReportsEachIterationAndThenTheWhole) {
  if (!there()) GTEST_SKIP() << "the micro model or the engines are not there";
  const std::vector<nlohmann::json> events = events_of(small());
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].at("event"), "loaded");
  EXPECT_GT(events[0].at("layers"), 0);
  for (const size_t i : {1U, 2U}) {
    EXPECT_EQ(events[i].at("event"), "iteration");
    EXPECT_EQ(events[i].at("index"), i - 1);
    EXPECT_EQ(events[i].at("prefill").at("tokens"), 8);
    EXPECT_EQ(events[i].at("decode").at("tokens"), 3);
    EXPECT_GT(events[i].at("decode").at("tokens_per_second"), 0.0);
    EXPECT_FALSE(events[i].at("decode").contains("stream"));
  }
  EXPECT_EQ(events[3].at("event"), "done");
  EXPECT_GT(events[3].at("memory").at("peak_rss_bytes"), 1 << 20);
  EXPECT_TRUE(events[3].at("statistics").is_null());
}

TEST(Measure, TheSameRunWritesTheSameTokens) {
  if (!there()) GTEST_SKIP() << "the micro model or the engines are not there";
  MeasureOptions options = small();
  const std::string one = events_of(options).back().at("output");
  EXPECT_EQ(events_of(options).back().at("output"), one);
  options.decode = 4;
  EXPECT_NE(events_of(options).back().at("output"), one);
}

TEST(Measure, APhaseOfNoTokensIsLeftOut) {
  if (!there()) GTEST_SKIP() << "the micro model or the engines are not there";
  MeasureOptions options = small();
  options.prompt = 0;
  EXPECT_TRUE(events_of(options)[1].at("prefill").is_null());
  options.prompt = 8;
  options.decode = 0;
  EXPECT_TRUE(events_of(options)[1].at("decode").is_null());
}

Code code_of(const MeasureOptions& options) {
  const std::atomic<bool> cancel{false};
  const Result<void> done = measure(options, cancel, [](const nlohmann::json&) {});
  return done ? Code::kInternal : done.error().code;
}

TEST(CheckMeasure, LimitsHoldAtNAndNPlusOne) {
  const auto accepts = [](auto change) {
    MeasureOptions options = small();
    change(options);
    return check_measure(options).has_value();
  };
  EXPECT_TRUE(accepts([](MeasureOptions& o) { o.prompt = kMeasureTokensMax; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.prompt = kMeasureTokensMax + 1; }));
  EXPECT_TRUE(accepts([](MeasureOptions& o) { o.decode = kMeasureTokensMax; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.decode = kMeasureTokensMax + 1; }));
  EXPECT_TRUE(accepts([](MeasureOptions& o) { o.sequences = kMeasureSequencesMax; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.sequences = kMeasureSequencesMax + 1; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.sequences = 0; }));
  EXPECT_TRUE(accepts([](MeasureOptions& o) { o.iterations = kMeasureRunsMax; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.iterations = kMeasureRunsMax + 1; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.prompt = o.decode = 0; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.load_mode = "tape"; }));
  EXPECT_FALSE(accepts([](MeasureOptions& o) { o.flash_attention = "yes"; }));
}

TEST(Measure, BadFilesPluginsAndDevicesHaveTheirOwnErrors) {
  const TestFolder folder;
  MeasureOptions options = small();
  options.model = folder.file("none.gguf");
  EXPECT_EQ(code_of(options), Code::kNotFound);
  if (!there()) GTEST_SKIP() << "the micro model or the engines are not there";
  const std::string whole = slurp(small().model);
  options.model = folder.write("cut.gguf", whole.substr(0, whole.size() - 1000));
  EXPECT_EQ(code_of(options), Code::kCorrupt);
  options.model = model_file("micro-asr.bin");
  EXPECT_EQ(code_of(options), Code::kUnsupported);
  options = small();
  options.plugin = folder.write("plugin.so", "no library");
  EXPECT_EQ(code_of(options), Code::kUnavailable);
  options = small();
  options.device = "Nothing0";
  EXPECT_EQ(code_of(options), Code::kUnavailable);
}

class MeasureProgram : public testing::Test {
 protected:
  std::unique_ptr<Process> started(const std::vector<std::string>& more) {
    ProcessSpec spec;
    spec.argv = {GANTRY_WORKER_EXE, "measure", "-m", small().model, "-t", "1"};
    spec.argv.insert(spec.argv.end(), more.begin(), more.end());
    spec.pipe_io = true;
    Result<std::unique_ptr<Process>> process = os_->spawn(spec);
    return process ? std::move(*process) : nullptr;
  }
  std::unique_ptr<Os> os_ = make_real_os();  // outlives its processes
};

TEST_F(MeasureProgram, ASignalEndsItWithItsStatus) {
  if (!there()) GTEST_SKIP() << "the micro model or the engines are not there";
  const auto process = started({"-p", "64", "-n", "1024", "--iterations", "1000"});
  ASSERT_NE(process, nullptr);
  ASSERT_TRUE(process->read_line(Millis(20'000), MiB(1)));  // loaded: signals are watched
  process->signal_group(15);
  std::string last;
  while (const Result<std::string> line = process->read_line(Millis(20'000), MiB(1))) last = *line;
  EXPECT_EQ(nlohmann::json::parse(last).at("code"), "cancelled");
  const std::optional<Exit> exit = process->wait(Millis(20'000));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 128 + 15);
}

TEST_F(MeasureProgram, AnErrorIsALineOfJson) {
  if (!there()) GTEST_SKIP() << "the engines are not there";
  const auto process = started({"--fa", "perhaps"});
  ASSERT_NE(process, nullptr);
  const Result<std::string> line = process->read_line(Millis(20'000), MiB(1));
  ASSERT_TRUE(line);
  const nlohmann::json error = nlohmann::json::parse(*line);
  EXPECT_EQ(error.at("event"), "error");
  EXPECT_EQ(error.at("code"), "usage");
  EXPECT_FALSE(error.at("remedy").get<std::string>().empty());
  const std::optional<Exit> exit = process->wait(Millis(20'000));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 2);
}

}  // namespace
}  // namespace gantry
