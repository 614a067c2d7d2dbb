// Words and weights of a demand.
#include "config/demand_keys.h"

#include <algorithm>
#include <charconv>

namespace gantry {

namespace {

constexpr double kWeightMin = 1e-3, kWeightMax = 1e3;

std::string listed(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) {
    out += (out.empty() ? "" : word == words.back() ? " or " : ", ") + std::string(word);
  }
  return out;
}

// The whole text as a number; nothing for anything else.
std::optional<double> number_of(const YamlNode& node) {
  double value = 0;
  const char* const begin = node.text.data();
  const char* const end = begin + node.text.size();
  const auto [stop, failed] = std::from_chars(begin, end, value);
  const bool whole = node.kind == YamlNode::Kind::kScalar && node.plain &&
                     failed == std::errc() && stop == end && begin != end;
  if (!whole) return std::nullopt;
  return value;
}

Result<std::vector<std::string>> words_of(ConfigReader& reader, const YamlNode& node,
                                          std::span<const std::string_view> known) {
  auto list = reader.texts(node);
  if (!list) return list;
  for (size_t i = 0; i < list->size(); ++i) {
    if (auto word = word_of(reader, node.items[i], known); !word) return fail(word.error());
    const auto same = std::find(list->begin(), list->begin() + static_cast<ptrdiff_t>(i),
                                (*list)[i]);
    if (same == list->begin() + static_cast<ptrdiff_t>(i)) continue;
    return fail(reader.error(node.items[i], in_quotes((*list)[i]) + " is there twice"));
  }
  return list;
}

}  // namespace

bool cloud_is_last(std::span<const std::string> words) {
  const auto cloud = std::ranges::find(words, "cloud");
  if (cloud == words.end()) return true;
  return std::all_of(cloud + 1, words.end(),
                     [](const std::string& word) { return word == "refuse"; });
}

std::vector<std::string_view> allowed_words() {
  std::vector<std::string_view> words;
  for (const CacheType type : kCacheTypes) words.push_back(cache_type_name(type));
  words.insert(words.end(), kLevers.begin(), kLevers.end());
  return words;
}

Result<std::string> word_of(ConfigReader& reader, const YamlNode& node,
                            std::span<const std::string_view> words) {
  auto word = reader.text(node);
  if (!word || std::ranges::find(words, *word) != words.end()) return word;
  return fail(reader.error(node, in_quotes(*word) + " is not known here", listed(words)));
}

Result<double> weight_of(ConfigReader& reader, const YamlNode& node) {
  const auto number = number_of(node);
  if (number && *number >= kWeightMin && *number <= kWeightMax) return *number;
  return fail(reader.error(node, "want a number from 0.001 to 1000"));
}

Result<void> read_latency(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto word = word_of(reader, node, kLatencies);
  if (!word) return fail(word.error());
  state->model->demand.latency = std::move(*word);
  return {};
}

Result<void> read_allow(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto words = words_of(reader, node, allowed_words());
  if (!words) return fail(words.error());
  state->model->demand.allow = std::move(*words);
  return {};
}

Result<void> read_shortage(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto words = words_of(reader, node, kShortages);
  if (!words) return fail(words.error());
  state->model->demand.shortage = std::move(*words);
  return {};
}

Result<void> read_alternatives(ConfigReader& reader, const YamlNode& node,
                               ModelKeyState* state) {
  auto names = reader.texts(node);
  if (!names) return fail(names.error());
  if (names->size() > kAlternativesConfigMax) {
    return fail(reader.error(node, "more than " + std::to_string(kAlternativesConfigMax) +
                                       " alternatives"));
  }
  std::vector<std::string> files;
  for (const YamlNode& item : node.items) {
    auto file = reader.file(item);
    if (!file) return fail(file.error());
    files.push_back(std::move(*file));
  }
  state->model->demand.alternatives = std::move(files);
  return {};
}

Result<void> read_cap(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  const auto budget = reader.budget(node);
  if (!budget) return fail(budget.error());
  state->model->demand.cap = *budget;
  return {};
}

}  // namespace gantry
