// The keys of a model that say how much it matters and what may be changed to make it fit.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys.h"

namespace gantry {

inline constexpr std::array<std::string_view, 2> kLatencies = {"interactive", "batch"};
inline constexpr std::array<std::string_view, 2> kPreferences = {"speed", "energy"};
// Whether nothing but "refuse" stands behind "cloud": it is the last way out.
bool cloud_is_last(std::span<const std::string> words);

inline constexpr std::array<std::string_view, 5> kShortages = {"wait", "shrink", "cpu", "cloud",
                                                               "refuse"};
// Besides the types of the KV cache.
inline constexpr std::array<std::string_view, 4> kLevers = {"context", "encoder", "batch",
                                                            "gpu-only"};
inline constexpr size_t kAlternativesConfigMax = 8;

std::vector<std::string_view> allowed_words();  // of `allow`

// One of `words`; the error lists them.
[[nodiscard]] Result<std::string> word_of(ConfigReader& reader, const YamlNode& node,
                                          std::span<const std::string_view> words);

// 0.001 to 1000.
[[nodiscard]] Result<double> weight_of(ConfigReader& reader, const YamlNode& node);
[[nodiscard]] Result<void> read_latency(ConfigReader& r, const YamlNode& n, ModelKeyState* state);
[[nodiscard]] Result<void> read_allow(ConfigReader& r, const YamlNode& n, ModelKeyState* state);
[[nodiscard]] Result<void> read_shortage(ConfigReader& r, const YamlNode& n, ModelKeyState* state);
[[nodiscard]] Result<void> read_alternatives(ConfigReader& r, const YamlNode& n,
                                             ModelKeyState* state);
// A budget, or a fraction such as 0.6.
[[nodiscard]] Result<void> read_cap(ConfigReader& r, const YamlNode& n, ModelKeyState* state);

template <std::string DemandConfig::*kField>
[[nodiscard]] Result<void> read_demand_text(ConfigReader& reader, const YamlNode& node,
                                            ModelKeyState* state) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  state->model->demand.*kField = std::move(*word);
  return {};
}

template <double DemandConfig::*kField>
[[nodiscard]] Result<void> read_weight(ConfigReader& reader, const YamlNode& node,
                                       ModelKeyState* state) {
  const auto weight = weight_of(reader, node);
  if (!weight) return fail(weight.error());
  state->model->demand.*kField = *weight;
  return {};
}

template <std::optional<uint32_t> DemandConfig::*kField>
[[nodiscard]] Result<void> read_amount(ConfigReader& reader, const YamlNode& node,
                                       ModelKeyState* state) {
  const auto amount = reader.count(node, 1, kConfigContextMax);
  if (!amount) return fail(amount.error());
  state->model->demand.*kField = *amount;
  return {};
}

}  // namespace gantry
