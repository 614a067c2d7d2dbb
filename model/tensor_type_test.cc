// The type table: spot values and its ends. lab/fuzz compares all of it with ggml's.
#include "model/tensor_type.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(TensorType, KnowsBlockSizes) {
  EXPECT_EQ(tensor_type(0)->name, "F32");
  EXPECT_EQ(tensor_type(2)->bytes, 18U);
  EXPECT_EQ(tensor_type(12)->name, "Q4_K");
  EXPECT_EQ(tensor_type(12)->bytes, 144U);
  EXPECT_EQ(tensor_type(39)->name, "MXFP4");
  EXPECT_EQ(tensor_type(40)->block, 64U);
}

TEST(TensorType, HasNothingForRemovedAndUnknownNumbers) {
  for (const uint32_t id : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U, 43U, 255U, UINT32_MAX}) {
    EXPECT_EQ(tensor_type(id), nullptr) << id;
  }
  EXPECT_NE(tensor_type(kTensorTypeCount - 1), nullptr);
}

TEST(TensorType, OfFtype) {
  EXPECT_EQ(tensor_type_of_ftype(0), 0U);
  EXPECT_EQ(tensor_type_of_ftype(7), 8U);   // Q8_0
  EXPECT_EQ(tensor_type_of_ftype(8), 6U);   // Q5_0
  EXPECT_EQ(tensor_type_of_ftype(28), 42U);  // Q2_0
  for (const uint32_t none : {4U, 5U, 6U, 29U, UINT32_MAX}) {
    EXPECT_EQ(tensor_type_of_ftype(none), std::nullopt) << none;
  }
  for (uint32_t ftype = 0; ftype < 40; ++ftype) {
    const auto type = tensor_type_of_ftype(ftype);
    EXPECT_TRUE(!type || tensor_type(*type) != nullptr) << ftype;
  }
}

TEST(TensorType, BytesOfWholeBlocksDoNotWrap) {
  EXPECT_EQ(tensor_bytes(*tensor_type(8), 64), 68U);
  EXPECT_EQ(tensor_bytes(*tensor_type(28), uint64_t{1} << 61), std::nullopt);
  EXPECT_EQ(tensor_bytes(*tensor_type(28), (uint64_t{1} << 61) - 1), UINT64_MAX - 7);
}

}  // namespace
}  // namespace gantry
