// By hand.
#include "npu/pooling.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

const std::vector<float> kStates = {1, 2, 3, 6};  // two tokens, width 2

TEST(Pooling, EachKind) {
  EXPECT_EQ(pooled(Pooling::kMean, kStates, 2, false), (std::vector<float>{2, 4}));
  EXPECT_EQ(pooled(Pooling::kCls, kStates, 2, false), (std::vector<float>{1, 2}));
  EXPECT_EQ(pooled(Pooling::kLast, kStates, 2, false), (std::vector<float>{3, 6}));
  EXPECT_EQ(pooling_name(Pooling::kCls), "cls");
}

TEST(Pooling, LengthOne) {
  const std::vector<float> out = pooled(Pooling::kLast, std::vector<float>{3, 4}, 2, true);
  EXPECT_FLOAT_EQ(out[0], 0.6F);
  EXPECT_FLOAT_EQ(out[1], 0.8F);
  EXPECT_EQ(pooled(Pooling::kMean, std::vector<float>{0, 0}, 2, true),
            (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace gantry
