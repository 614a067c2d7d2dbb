// Typed values out of YAML nodes.
#include "config/values.h"

#include <algorithm>
#include <charconv>
#include <cctype>

namespace gantry {

namespace {

std::string folded(std::string_view word) {
  std::string out;
  for (const char c : word) {
    if (c != '_' && c != '-' && c != ' ') {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

// Edits (insert, remove, replace, swap of neighbours counted as two) between two short words.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t kept = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, kept});
    }
  }
  return row[b.size()];
}

bool is_macro_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
}

std::string_view kind_word(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kScalar: return "a word";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a map";
  }
  return "something else";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out(1, '"');
  out += text.substr(0, 64);
  return out += '"';
}

std::string nearest(std::string_view word, std::span<const std::string_view> known) {
  if (word.size() > 64) return {};
  const std::string want = folded(word);
  std::string best;
  size_t best_distance = std::max<size_t>(2, want.size() / 4) + 1;
  for (const std::string_view candidate : known) {
    const size_t d = distance(want, folded(candidate));
    if (d < best_distance) {
      best_distance = d;
      best = std::string(candidate);
    }
  }
  return best_distance < want.size() ? best : std::string();
}

ConfigReader::ConfigReader(std::string path, std::vector<ConfigWarning>* warnings)
    : path_(std::move(path)), warnings_(warnings) {}

Error ConfigReader::error(const YamlNode& at, const std::string& cause,
                    const std::string& remedy) const {
  return {Code::kCorrupt, place(path_, at) + ": " + cause, remedy};
}

void ConfigReader::warn(const YamlNode& at, const std::string& text) {
  if (warnings_ != nullptr) warnings_->push_back({place(path_, at), text});
}

Result<std::string> ConfigReader::text(const YamlNode& node) const {
  if (node.kind == YamlNode::Kind::kScalar) return node.text;
  return fail(error(node, "want a text, found " + std::string(kind_word(node))));
}

Result<std::vector<std::string>> ConfigReader::texts(const YamlNode& node) const {
  std::vector<std::string> found;
  if (node.kind == YamlNode::Kind::kNull) return found;
  if (node.kind != YamlNode::Kind::kList) {
    return fail(error(node, "want a list, found " + std::string(kind_word(node)),
                      "write [a, b], or one \"- a\" a line"));
  }
  for (const YamlNode& item : node.items) {
    auto one = text(item);
    if (!one) return fail(one.error());
    found.push_back(std::move(*one));
  }
  return found;
}

Result<bool> ConfigReader::flag(const YamlNode& node) const {
  if (node.kind == YamlNode::Kind::kScalar && node.plain) {
    const std::string word = folded(node.text);
    if (word == "true" || word == "yes" || word == "on") return true;
    if (word == "false" || word == "no" || word == "off") return false;
  }
  return fail(error(node, "want true or false"));
}

Result<uint32_t> ConfigReader::count(const YamlNode& node, uint32_t min, uint32_t max) const {
  uint32_t value = 0;
  const char* const begin = node.text.data();
  const char* const end = begin + node.text.size();
  const auto [stop, failed] = std::from_chars(begin, end, value);
  const bool number = node.kind == YamlNode::Kind::kScalar && node.plain && failed == std::errc() &&
                      stop == end && !node.text.empty();
  if (number && value >= min && value <= max) return value;
  return fail(error(node, "want a whole number from " + std::to_string(min) + " to " +
                              std::to_string(max)));
}

Result<Bytes> ConfigReader::bytes(const YamlNode& node) const {
  const auto word = text(node);
  if (!word) return fail(word.error());
  const auto parsed = parse_bytes(*word);
  if (!parsed) return fail(error(node, parsed.error().message, parsed.error().remedy));
  return *parsed;
}

Result<Budget> ConfigReader::budget(const YamlNode& node) const {
  const auto word = text(node);
  if (!word) return fail(word.error());
  const auto parsed = parse_budget(*word);
  if (!parsed) return fail(error(node, parsed.error().message, parsed.error().remedy));
  return *parsed;
}

Result<CacheType> ConfigReader::cache_type(const YamlNode& node) const {
  const auto word = text(node);
  if (!word) return fail(word.error());
  const auto parsed = parse_cache_type(*word);
  if (!parsed) return fail(error(node, parsed.error().message, parsed.error().remedy));
  return *parsed;
}

Result<void> ConfigReader::want_map(const YamlNode& node) const {
  if (node.kind == YamlNode::Kind::kMap || node.kind == YamlNode::Kind::kNull) return {};
  return fail(error(node, "want a map, found " + std::string(kind_word(node)),
                    "write one \"key: value\" a line, indented"));
}

Result<std::string> ConfigReader::file(const YamlNode& node) const {
  auto name = text(node);
  if (!name) return fail(name.error());
  if (name->empty()) return fail(error(node, "want the name of a file"));
  if (name->starts_with('/') || name->starts_with("~/")) return name;
  const std::string dir = dir_name(path_);
  return dir.empty() ? *name : join_path(dir, *name);
}

Result<void> ConfigReader::read_macros(const YamlNode& node, Macros* macros) const {
  if (auto map = want_map(node); !map) return fail(map.error());
  for (const YamlEntry& entry : node.entries) {
    const std::string& name = entry.key.text;
    if (!is_macro_name(name)) {
      return fail(error(entry.key, "a macro's name has at most 64 letters, digits, _ and -"));
    }
    if (name == "PORT" || name == "PID" || name == "MODEL_ID") {
      return fail(error(entry.key, "${" + name + "} is set by gantry", "choose another name"));
    }
    auto value = expand(entry.value, *macros);
    if (!value) return fail(value.error());
    (*macros)[name] = std::move(*value);
  }
  return {};
}

Result<std::string> ConfigReader::expand(const YamlNode& node, const Macros& macros) const {
  const auto source = text(node);
  if (!source) return fail(source.error());
  std::string out;
  size_t at = 0;
  while (at < source->size()) {
    const size_t open = source->find("${", at);
    const size_t close = open == std::string::npos ? open : source->find('}', open);
    if (close == std::string::npos) break;
    out.append(*source, at, open - at);
    const std::string name = source->substr(open + 2, close - open - 2);
    at = close + 1;
    const auto found = macros.find(name);
    if (found != macros.end()) {
      out += found->second;
    } else if (name == "PORT" || name == "PID" || name == "MODEL_ID" || name.starts_with("env.")) {
      out += "${" + name + "}";
    } else {
      std::vector<std::string_view> known(1, "PORT");
      for (const auto& [key, value] : macros) known.push_back(key);
      const std::string meant = nearest(name, known);
      return fail(error(node, "unknown macro ${" + name.substr(0, 64) + "}",
                        meant.empty() ? "declare it under macros:, before its use"
                                      : "did you mean ${" + meant + "}?"));
    }
    if (out.size() > kMacroTextMax) break;
  }
  out.append(*source, at);
  if (out.size() > kMacroTextMax) {
    return fail(Code::kTooLarge, place(path_, node) + ": longer than " +
                                     std::to_string(kMacroTextMax) + " characters with macros");
  }
  return out;
}

}  // namespace gantry
