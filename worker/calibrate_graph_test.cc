// Tests of the graphs of a calibration: what they count, not how fast they are.
#include "worker/calibrate_graph.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

class Graphs : public testing::Test {
 protected:
  Graphs() {
    ggml_backend_load_all_from_path(GANTRY_ENGINE_DIR);
    unit_.device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (unit_.device != nullptr) unit_.backend.reset(ggml_backend_dev_init(unit_.device, nullptr));
  }
  Unit unit_;
  Patience least_{0, 1};
};

TEST_F(Graphs, EveryTypeHasAPlainPlaceOnTheCpu) {
  ASSERT_TRUE(unit_.backend);
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_IQ4_XS}) {
    for (const bool experts : {false, true}) {
      const std::vector<WeightPlace> places = places_of(unit_, type, experts);
      ASSERT_FALSE(places.empty()) << ggml_type_name(type);
      EXPECT_FALSE(places.back().rearranged) << ggml_type_name(type);
      EXPECT_LE(places.size(), 2U) << ggml_type_name(type);
    }
  }
}

TEST_F(Graphs, BytesOfAPassAreThoseOfItsWeights) {
  ASSERT_TRUE(unit_.backend);
  const WeightPlace plain = places_of(unit_, GGML_TYPE_Q8_0, false).back();
  const Result<RateSeconds> found = time_layers(unit_, GGML_TYPE_Q8_0, plain, least_);
  ASSERT_TRUE(found) << describe(found.error());
  // q, o; k, v; gate, up, down.
  const double weights = 2.0 * 2048 * 2048 + 2.0 * 2048 * 512 + 3.0 * 2048 * 5632;
  const double layers = found->steps / 9.0;
  EXPECT_EQ(found->bytes, layers * weights * 34 / 32);
  EXPECT_GE(found->bytes, 192 * 1048576.0);
  EXPECT_EQ(found->flop, 2 * weights * 512);
  EXPECT_GT(found->decode_s, 0);
  EXPECT_GT(found->prefill_s, 0);
}

TEST_F(Graphs, RearrangingIsTimedWhereItIsDone) {
  ASSERT_TRUE(unit_.backend);
  for (const WeightPlace& place : places_of(unit_, GGML_TYPE_Q4_0, false)) {
    const Result<RateSeconds> found = time_layers(unit_, GGML_TYPE_Q4_0, place, least_);
    ASSERT_TRUE(found) << describe(found.error());
    EXPECT_EQ(found->rearrange_s > 0, place.rearranged);
    const double layers = found->steps / 9.0;
    EXPECT_EQ(found->rearranged_bytes, place.rearranged ? layers * 2048 * 5632 * 18 / 32 : 0);
  }
}

TEST_F(Graphs, ExpertsAreAllReadByOnePass) {
  ASSERT_TRUE(unit_.backend);
  const WeightPlace plain = places_of(unit_, GGML_TYPE_Q4_K, true).back();
  const Result<RateSeconds> found = time_experts(unit_, GGML_TYPE_Q4_K, plain, least_);
  ASSERT_TRUE(found) << describe(found.error());
  const double weights = 3.0 * 2048 * 768 * 32;
  EXPECT_EQ(found->bytes, weights * 144 / 256);
  EXPECT_EQ(found->flop, 2 * weights / 8 * 512);
  EXPECT_EQ(found->steps, 32);
}

TEST_F(Graphs, AttentionCountsItsCache) {
  ASSERT_TRUE(unit_.backend);
  for (const bool flash : {false, true}) {
    const Result<RateSeconds> found = time_attention(unit_, flash, least_);
    ASSERT_TRUE(found) << describe(found.error());
    EXPECT_EQ(found->bytes, 192 * 1048576.0);
    EXPECT_EQ(found->steps, 24 * (flash ? 1 : 4));
  }
}

TEST_F(Graphs, TheCpuHasNoPinnedMemory) {
  ASSERT_TRUE(unit_.backend);
  const auto pinned = copy_rate(unit_, true, least_);
  ASSERT_TRUE(pinned);
  EXPECT_FALSE(pinned->has_value());
  const auto ordinary = copy_rate(unit_, false, least_);
  ASSERT_TRUE(ordinary && *ordinary);
  EXPECT_GT(**ordinary, 0);
}

TEST_F(Graphs, CancelEndsAMeasurement) {
  ASSERT_TRUE(unit_.backend);
  const std::atomic<bool> cancel = true;
  unit_.cancel = &cancel;
  EXPECT_EQ(time_activations(unit_, least_).error().code, Code::kCancelled);
}

}  // namespace
}  // namespace gantry
