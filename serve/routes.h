// Routes as a table: method and path pattern to a name and a number of the table's row.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gantry {

// "/v1/jobs/{}/result": {} stands for one segment, {*} (last) for the rest with its slashes.
struct Pattern {
  std::string_view method;
  std::string_view path;
};

struct Match {
  std::optional<size_t> row;  // of the patterns given
  std::string argument;       // what stood for {}: percent-decoded, never empty
  std::string allow;          // without a row: "GET, POST" when only the method was wrong (405)
};

// HEAD matches GET. A path that does not decode matches nothing.
Match match_route(std::span<const Pattern> patterns, std::string_view method,
                  std::string_view path);

}  // namespace gantry
