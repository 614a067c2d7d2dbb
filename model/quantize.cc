// The choices of llama-quantize (llama.cpp with ggml 0.25.3, no importance matrix) as one table,
// read from the top: the first row that holds decides.
#include "model/quantize.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "model/tensor_type.h"

namespace gantry {

namespace {

enum : uint32_t {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ2_K = 10,
  kQ3_K = 11, kQ4_K = 12, kQ5_K = 13, kQ6_K = 14, kIq4Nl = 20, kIq4Xs = 23, kBf16 = 30,
};

struct MixRow {
  Mix mix;
  std::string_view name;
  uint32_t base;
};
constexpr std::array kMixes = std::to_array<MixRow>({
    {Mix::kF32, "F32", kF32},          {Mix::kF16, "F16", kF16},
    {Mix::kBf16, "BF16", kBf16},       {Mix::kQ8_0, "Q8_0", kQ8_0},
    {Mix::kQ6_K, "Q6_K", kQ6_K},       {Mix::kQ5_1, "Q5_1", kQ5_1},
    {Mix::kQ5_K_M, "Q5_K_M", kQ5_K},   {Mix::kQ5_K_S, "Q5_K_S", kQ5_K},
    {Mix::kQ5_0, "Q5_0", kQ5_0},       {Mix::kQ4_1, "Q4_1", kQ4_1},
    {Mix::kQ4_K_M, "Q4_K_M", kQ4_K},   {Mix::kQ4_K_S, "Q4_K_S", kQ4_K},
    {Mix::kIq4Nl, "IQ4_NL", kIq4Nl},   {Mix::kQ4_0, "Q4_0", kQ4_0},
    {Mix::kIq4Xs, "IQ4_XS", kIq4Xs},   {Mix::kQ3_K_L, "Q3_K_L", kQ3_K},
    {Mix::kQ3_K_M, "Q3_K_M", kQ3_K},   {Mix::kQ3_K_S, "Q3_K_S", kQ3_K},
    {Mix::kQ2_K, "Q2_K", kQ2_K},
});

const MixRow& row_of(Mix mix) { return *std::ranges::find(kMixes, mix, &MixRow::mix); }

enum class Role { kOther, kQ, kK, kV, kAttentionOut, kDown };
enum class When { kAlways, kFavoured, kFirstTwo, kFirstFour, kFirst16th, kFirst8th, kGrouped };

struct Rule {
  Mix mix;
  Role role;
  When when;
  uint32_t type;
};
constexpr std::array kRules = std::to_array<Rule>({
    {Mix::kQ5_K_M, Role::kV, When::kFavoured, kQ6_K},
    {Mix::kQ5_K_M, Role::kDown, When::kFavoured, kQ6_K},
    {Mix::kQ4_K_M, Role::kV, When::kFavoured, kQ6_K},
    {Mix::kQ4_K_M, Role::kDown, When::kFavoured, kQ6_K},
    {Mix::kQ4_K_S, Role::kV, When::kFirstFour, kQ5_K},
    {Mix::kQ4_K_S, Role::kDown, When::kFirst8th, kQ5_K},
    {Mix::kIq4Nl, Role::kV, When::kGrouped, kQ5_K},
    {Mix::kIq4Nl, Role::kDown, When::kFirst8th, kQ5_K},
    {Mix::kIq4Xs, Role::kV, When::kGrouped, kQ5_K},
    {Mix::kIq4Xs, Role::kDown, When::kFirst8th, kQ5_K},
    {Mix::kQ3_K_L, Role::kV, When::kAlways, kQ5_K},
    {Mix::kQ3_K_L, Role::kDown, When::kAlways, kQ5_K},
    {Mix::kQ3_K_L, Role::kAttentionOut, When::kAlways, kQ5_K},
    {Mix::kQ3_K_M, Role::kV, When::kFirstTwo, kQ5_K},
    {Mix::kQ3_K_M, Role::kV, When::kAlways, kQ4_K},
    {Mix::kQ3_K_M, Role::kDown, When::kFirst16th, kQ5_K},
    {Mix::kQ3_K_M, Role::kDown, When::kAlways, kQ4_K},
    {Mix::kQ3_K_M, Role::kAttentionOut, When::kAlways, kQ4_K},
    {Mix::kQ2_K, Role::kV, When::kGrouped, kQ4_K},
    {Mix::kQ2_K, Role::kV, When::kAlways, kQ3_K},
    {Mix::kQ2_K, Role::kDown, When::kAlways, kQ3_K},
    {Mix::kQ2_K, Role::kAttentionOut, When::kAlways, kQ3_K},
});

// With exactly eight experts attention is small beside them, and gets more bits.
constexpr uint32_t kFewExperts = 8;
constexpr std::array kSmallMixes = {Mix::kQ2_K,   Mix::kQ3_K_S, Mix::kQ3_K_M, Mix::kIq4Nl,
                                    Mix::kQ4_K_S, Mix::kQ4_K_M, Mix::kIq4Xs};
constexpr uint32_t kLayersOf70b = 80;  // heads share values by eight there

Role role_of(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  // One matrix for q, k and v counts as values.
  if (has("attn_qkv.weight") || has("attn_v.weight")) return Role::kV;
  if (has("attn_k.weight")) return Role::kK;
  if (has("attn_q.weight")) return Role::kQ;
  if (has("attn_output.weight")) return Role::kAttentionOut;
  return has("ffn_down") ? Role::kDown : Role::kOther;
}

uint32_t layer_of(std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  uint32_t layer = 0;
  if (name.starts_with(kBlock)) {
    std::from_chars(name.data() + kBlock.size(), name.data() + name.size(), layer);
  }
  return layer;
}

bool holds(When when, const QuantizedModel& model, uint32_t layer) {
  const uint32_t n = model.layers;
  switch (when) {
    case When::kAlways: return true;
    case When::kFavoured: return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    case When::kFirstTwo: return layer < 2;
    case When::kFirstFour: return layer < 4;
    case When::kFirst16th: return layer < n / 16;
    case When::kFirst8th: return layer < n / 8;
    case When::kGrouped: return model.heads >= 4 * std::max(model.heads_kv, 1U);
  }
  return false;
}

uint32_t by_rules(Mix mix, const QuantizedModel& model, std::string_view name) {
  const Role role = role_of(name);
  const uint32_t layer = layer_of(name);
  uint32_t type = row_of(mix).base;
  const auto rule = std::ranges::find_if(kRules, [&](const Rule& row) {
    return row.mix == mix && row.role == role && holds(row.when, model, layer);
  });
  if (rule != kRules.end()) type = rule->type;
  if (role == Role::kV && model.layers == kLayersOf70b && (type == kQ3_K || type == kQ4_K)) {
    type = kQ5_K;
  }
  if (model.experts != kFewExperts) return type;
  if (role == Role::kV || role == Role::kK) return kQ8_0;
  const bool small = std::ranges::find(kSmallMixes, mix) != kSmallMixes.end();
  return role == Role::kAttentionOut ? (small ? kQ5_K : row_of(mix).base) : type;
}

// Rows that are no whole number of blocks.
uint32_t fitting(uint32_t type, uint64_t width) {
  if (width % tensor_type(type)->block == 0) return type;
  uint32_t other = type;
  if (type == kIq4Xs) other = kIq4Nl;
  if (type == kQ2_K || type == kQ3_K) other = kQ4_0;
  if (type == kQ4_K) other = kQ5_0;
  if (type == kQ5_K) other = kQ5_1;
  if (type == kQ6_K) other = kQ8_0;
  return width % tensor_type(other)->block == 0 ? other : kF16;
}

}  // namespace

std::optional<Mix> parse_mix(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  if (upper == "FP16") upper = "F16";
  const auto found = std::ranges::find(kMixes, upper, &MixRow::name);
  return found == kMixes.end() ? std::nullopt : std::optional(found->mix);
}

std::string_view mix_name(Mix mix) { return row_of(mix).name; }

uint32_t mix_base(Mix mix) { return row_of(mix).base; }

std::vector<Mix> mixes() {
  std::vector<Mix> out;
  for (const MixRow& row : kMixes) out.push_back(row.mix);
  return out;
}

uint32_t quantized_type(Mix mix, const QuantizedModel& model, std::string_view name,
                        uint64_t width) {
  const uint32_t base = row_of(mix).base;
  if (tensor_type(base)->block == 1) return base;
  const bool output = name == "output.weight" || (model.tied && name == "token_embd.weight");
  if (output) {
    const bool whole = width % tensor_type(base)->block == 0;
    return fitting(whole && base != kQ8_0 ? uint32_t{kQ6_K} : uint32_t{kQ8_0}, width);
  }
  return fitting(name == "token_embd.weight" ? base : by_rules(mix, model, name), width);
}

}  // namespace gantry
