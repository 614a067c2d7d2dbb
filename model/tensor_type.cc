// Block layouts, from the sizes that ggml-common.h asserts. A differential test compares this
// table with ggml's own.
#include "model/tensor_type.h"

#include <array>

#include "base/bytes.h"

namespace gantry {

namespace {

constexpr TensorType kUnused{};
constexpr std::array<TensorType, kTensorTypeCount> kTypes = {{
    {"F32", 1, 4},          // 0
    {"F16", 1, 2},          // 1
    {"Q4_0", 32, 18},       // 2
    {"Q4_1", 32, 20},       // 3
    kUnused,                // 4: Q4_2
    kUnused,                // 5: Q4_3
    {"Q5_0", 32, 22},       // 6
    {"Q5_1", 32, 24},       // 7
    {"Q8_0", 32, 34},       // 8
    {"Q8_1", 32, 36},       // 9
    {"Q2_K", 256, 84},      // 10
    {"Q3_K", 256, 110},     // 11
    {"Q4_K", 256, 144},     // 12
    {"Q5_K", 256, 176},     // 13
    {"Q6_K", 256, 210},     // 14
    {"Q8_K", 256, 292},     // 15
    {"IQ2_XXS", 256, 66},   // 16
    {"IQ2_XS", 256, 74},    // 17
    {"IQ3_XXS", 256, 98},   // 18
    {"IQ1_S", 256, 50},     // 19
    {"IQ4_NL", 32, 18},     // 20
    {"IQ3_S", 256, 110},    // 21
    {"IQ2_S", 256, 82},     // 22
    {"IQ4_XS", 256, 136},   // 23
    {"I8", 1, 1},           // 24
    {"I16", 1, 2},          // 25
    {"I32", 1, 4},          // 26
    {"I64", 1, 8},          // 27
    {"F64", 1, 8},          // 28
    {"IQ1_M", 256, 56},     // 29
    {"BF16", 1, 2},         // 30
    kUnused,                // 31: Q4_0_4_4
    kUnused,                // 32: Q4_0_4_8
    kUnused,                // 33: Q4_0_8_8
    {"TQ1_0", 256, 54},     // 34
    {"TQ2_0", 256, 66},     // 35
    kUnused,                // 36: IQ4_NL_4_4
    kUnused,                // 37: IQ4_NL_4_8
    kUnused,                // 38: IQ4_NL_8_8
    {"MXFP4", 32, 17},      // 39
    {"NVFP4", 64, 36},      // 40
    {"Q1_0", 128, 18},      // 41
    {"Q2_0", 64, 18},       // 42
}};

// Index: ftype; value: type id. Numbers that are not in use, and those that mix types, are -1.
constexpr std::array<int, 29> kOfFtype = {0,  1,  2,  3,  -1, -1, -1, 8,  6,  7,
                                          10, 11, 12, 13, 14, 16, 17, 18, 19, 20,
                                          21, 22, 23, 29, 30, 39, 40, 41, 42};

}  // namespace

const TensorType* tensor_type(uint32_t id) {
  return id < kTypes.size() && kTypes[id].block > 0 ? &kTypes[id] : nullptr;
}

std::optional<uint32_t> tensor_type_of_ftype(uint32_t ftype) {
  if (ftype >= kOfFtype.size() || kOfFtype[ftype] < 0) return std::nullopt;
  return static_cast<uint32_t>(kOfFtype[ftype]);
}

std::optional<uint64_t> tensor_bytes(const TensorType& type, uint64_t elements) {
  return checked_mul(elements / type.block, type.bytes);
}

}  // namespace gantry
