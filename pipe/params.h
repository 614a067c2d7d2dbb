// Reading a job's params: known keys, right types, or a kUsage error that names the key.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry {

// Parses an object (an empty text is {}), refusing keys that are not in `known`.
[[nodiscard]] Result<nlohmann::json> parse_params(const std::string& text,
                                                  const std::vector<std::string_view>& known);

[[nodiscard]] Result<std::string> text_param(const nlohmann::json& params, const char* key,
                                             const std::string& otherwise);
[[nodiscard]] Result<double> number_param(const nlohmann::json& params, const char* key,
                                          double otherwise, double least, double most);

}  // namespace gantry
