// Which type llama-quantize stores each matrix in: "Q4_K_M" is a mix, not a type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry {

enum class Mix {
  kF32, kF16, kBf16, kQ8_0, kQ6_K, kQ5_K_M, kQ5_K_S, kQ5_1, kQ5_0, kQ4_K_M, kQ4_K_S, kIq4Nl,
  kIq4Xs, kQ4_1, kQ4_0, kQ3_K_L, kQ3_K_M, kQ3_K_S, kQ2_K,
};

// Case is ignored: "q4_K_M". "fp16" is F16.
std::optional<Mix> parse_mix(std::string_view name);
std::string_view mix_name(Mix mix);
// All of them, the largest first.
std::vector<Mix> mixes();
uint32_t mix_base(Mix mix);  // the type of most matrices: model/tensor_type.h

// What the choice depends on beside the tensor itself.
struct QuantizedModel {
  uint32_t layers = 0;
  uint32_t heads = 0, heads_kv = 0;
  uint32_t experts = 0;
  bool tied = false;  // the embedding is the output matrix
};

// For a matrix of rows with `width` elements; `name` as in the file, "blk.3.attn_v.weight".
uint32_t quantized_type(Mix mix, const QuantizedModel& model, std::string_view name,
                        uint64_t width);

}  // namespace gantry
