// Routes as a table.
#include "serve/routes.h"

#include "http/message.h"

namespace gantry {

namespace {

constexpr std::string_view kOne = "{}";
constexpr std::string_view kRest = "{*}";

// What stands for the pattern's hole; empty where it has none; nothing when the path differs.
std::optional<std::string_view> fit(std::string_view pattern, std::string_view path) {
  const size_t hole = pattern.find('{');
  if (hole == pattern.npos) {
    return pattern == path ? std::optional<std::string_view>("") : std::nullopt;
  }
  const bool rest = pattern.substr(hole).starts_with(kRest);
  const std::string_view tail = pattern.substr(hole + (rest ? kRest.size() : kOne.size()));
  if (path.size() <= hole + tail.size()) return std::nullopt;
  if (path.substr(0, hole) != pattern.substr(0, hole) || !path.ends_with(tail)) return std::nullopt;
  const std::string_view inside = path.substr(hole, path.size() - hole - tail.size());
  if (!rest && inside.find('/') != inside.npos) return std::nullopt;
  return inside;
}

}  // namespace

Match match_route(std::span<const Pattern> patterns, std::string_view method,
                  std::string_view path) {
  Match match;
  for (size_t row = 0; row < patterns.size(); ++row) {
    const Pattern& pattern = patterns[row];
    const auto inside = fit(pattern.path, path);
    if (!inside) continue;
    const auto argument = http::percent_decode(*inside, false);
    if (!argument) continue;
    if (pattern.method == method || (pattern.method == "GET" && method == "HEAD")) {
      match.row = row;
      match.argument = *argument;
      match.allow.clear();
      return match;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += pattern.method;
  }
  return match;
}

}  // namespace gantry
