// YAML text from outside as a bounded tree of our own: the only place that sees yaml-cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry {

// Limits of one file, aliases counted as often as they are used.
constexpr uint32_t kYamlNodesMax = 50'000;
constexpr uint32_t kYamlDepthMax = 32;

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;    // of a scalar
  bool plain = false;  // a scalar without quotes: may mean a number or a bool
  uint32_t line = 0;   // from 1; 0: unknown
  uint32_t column = 0;
  std::vector<YamlNode> items;     // of a list
  std::vector<YamlEntry> entries;  // of a map, in the file's order, keys unique

  const YamlNode* find(std::string_view key) const;  // nullptr: no such key
};

struct YamlEntry {
  YamlNode key;  // always a scalar
  YamlNode value;
};

// One document; an empty text is an empty map. Merge keys ("<<") and aliases are resolved.
// kCorrupt with "PATH:LINE:COLUMN: cause", kTooLarge over kConfigMax or the limits above.
[[nodiscard]] Result<YamlNode> read_yaml(const std::string& text, const std::string& path);

// "PATH:LINE:COLUMN"
std::string place(const std::string& path, const YamlNode& node);

}  // namespace gantry
