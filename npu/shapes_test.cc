// Lengths at n and n + 1.
#include "npu/shapes.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Shapes, BucketsEndAtTheModelsMaximum) {
  EXPECT_EQ(default_buckets(128), (std::vector<uint32_t>{16, 32, 48, 64, 96, 128}));
  EXPECT_EQ(default_buckets(512),
            (std::vector<uint32_t>{16, 32, 48, 64, 96, 128, 192, 256, 384, 512}));
  EXPECT_EQ(default_buckets(100), (std::vector<uint32_t>{16, 32, 48, 64, 96, 100}));
  EXPECT_EQ(default_buckets(16), (std::vector<uint32_t>{16}));
  EXPECT_EQ(default_buckets(5), (std::vector<uint32_t>{5}));
}

TEST(Shapes, TheSmallestThatHoldsIt) {
  const std::vector<uint32_t> buckets = default_buckets(128);
  EXPECT_EQ(bucket_of(buckets, 1), 16U);
  EXPECT_EQ(bucket_of(buckets, 16), 16U);
  EXPECT_EQ(bucket_of(buckets, 17), 32U);
  EXPECT_EQ(bucket_of(buckets, 96), 96U);
  EXPECT_EQ(bucket_of(buckets, 97), 128U);
  EXPECT_EQ(bucket_of(buckets, 128), 128U);
}

TEST(Shapes, FullRowsOnlyWhenMostAreUsed) {
  EXPECT_EQ(rows_for(1, 8), 1U);
  EXPECT_EQ(rows_for(4, 8), 1U);
  EXPECT_EQ(rows_for(5, 8), 8U);
  EXPECT_EQ(rows_for(20, 8), 8U);
  EXPECT_EQ(rows_for(1, 1), 1U);
}

}  // namespace
}  // namespace gantry
