// Tests of the calibration as a whole, on the CPU that is here. No figure is judged.
#include "worker/calibrate.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <vector>

namespace gantry {
namespace {

CalibrateOptions quick() {
  CalibrateOptions options;
  options.engine_dir = GANTRY_ENGINE_DIR;
  options.quick = true;
  return options;
}

TEST(Calibrate, TellsRatesAsTheyAreMeasured) {
  CalibrateOptions options = quick();
  options.only = {"Q4_0"};
  std::vector<std::string> order;
  std::map<std::string, double> decode, prefill;
  double step = 0;
  const std::atomic<bool> cancel = false;
  const Result<void> done = calibrate(options, cancel, [&](const nlohmann::json& event) {
    order.push_back(event.at("event"));
    if (order.back() == "step") step = event.at("step_s");
    if (order.back() != "rate") return;
    decode[event.at("quantisation")] = event.at("decode_bytes_per_s");
    prefill[event.at("quantisation")] = event.at("prefill_flop_per_s");
  });
  ASSERT_TRUE(done) << describe(done.error());
  ASSERT_GE(order.size(), 4U);
  EXPECT_EQ(order.front(), "device");
  EXPECT_EQ(order.back(), "done");
  EXPECT_GT(step, 0);
  for (const char* name : {"Q4_0", "attention", "attention/flash", "activations"}) {
    ASSERT_TRUE(decode.contains(name)) << name;
    EXPECT_GT(decode[name], 0) << name;
    EXPECT_GT(prefill[name], 0) << name;
  }
  EXPECT_FALSE(decode.contains("Q8_0"));
}

TEST(Calibrate, RefusesWhatIsNotThere) {
  const std::atomic<bool> cancel = false;
  const auto silent = [](const nlohmann::json&) {};
  CalibrateOptions options = quick();
  options.device = "CUDA99";
  EXPECT_EQ(calibrate(options, cancel, silent).error().code, Code::kUnavailable);
  options = quick();
  options.only = {"Q4_0", "Q9_Z"};
  EXPECT_EQ(calibrate(options, cancel, silent).error().code, Code::kUsage);
  options = quick();
  options.threads = 513;
  EXPECT_EQ(calibrate(options, cancel, silent).error().code, Code::kUsage);
}

TEST(Calibrate, EndsWhenCancelled) {
  const std::atomic<bool> cancel = true;
  size_t rates = 0;
  const Result<void> done = calibrate(quick(), cancel, [&](const nlohmann::json& event) {
    rates += event.at("event") == "rate" ? 1 : 0;
  });
  EXPECT_EQ(done.error().code, Code::kCancelled);
  EXPECT_EQ(rates, 0U);
}

}  // namespace
}  // namespace gantry
