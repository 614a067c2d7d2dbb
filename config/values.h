// ConfigReader: typed values out of YAML nodes; every refusal names the place.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/tree.h"

namespace gantry {

// Macros of a llama-swap file: name -> text, all references inside already replaced.
using Macros = std::map<std::string, std::string>;

constexpr size_t kMacroTextMax = 65'536;  // one command after replacing; stops macro bombs
constexpr uint32_t kConfigContextMax = 1U << 24;
constexpr uint32_t kConfigParallelMax = 64;

class ConfigReader {
 public:
  ConfigReader(std::string path, std::vector<ConfigWarning>* warnings);

  const std::string& path() const { return path_; }
  Error error(const YamlNode& at, const std::string& cause, const std::string& remedy = {}) const;
  void warn(const YamlNode& at, const std::string& text);

  [[nodiscard]] Result<std::string> text(const YamlNode& node) const;
  [[nodiscard]] Result<std::vector<std::string>> texts(const YamlNode& node) const;
  [[nodiscard]] Result<bool> flag(const YamlNode& node) const;
  [[nodiscard]] Result<uint32_t> count(const YamlNode& node, uint32_t min, uint32_t max) const;
  [[nodiscard]] Result<Bytes> bytes(const YamlNode& node) const;
  [[nodiscard]] Result<Budget> budget(const YamlNode& node) const;
  [[nodiscard]] Result<CacheType> cache_type(const YamlNode& node) const;
  [[nodiscard]] Result<void> want_map(const YamlNode& node) const;
  // A path, resolved against the folder of the file; "~/" is left to load_config.
  [[nodiscard]] Result<std::string> file(const YamlNode& node) const;

  // `macros:` of the file or of one model, on top of those that are there already.
  [[nodiscard]] Result<void> read_macros(const YamlNode& node, Macros* macros) const;
  // ${name} replaced; ${PORT}, ${PID} and ${env.NAME} stay.
  [[nodiscard]] Result<std::string> expand(const YamlNode& node, const Macros& macros) const;

 private:
  std::string path_;
  std::vector<ConfigWarning>* warnings_;  // may be null
};

// "text" in quotes for a message, at most 64 characters of it.
std::string in_quotes(std::string_view text);

// The known word that `word` was probably meant to be; empty when none is near.
std::string nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace gantry
