// Params of jobs.
#include "pipe/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace gantry {

Result<nlohmann::json> parse_params(const std::string& text,
                                    const std::vector<std::string_view>& known) {
  nlohmann::json params =
      text.empty() ? nlohmann::json::object() : nlohmann::json::parse(text, nullptr, false);
  if (!params.is_object()) return fail(Code::kUsage, "the job's params are not a JSON object");
  for (const auto& [key, value] : params.items()) {
    if (std::ranges::find(known, key) == known.end()) {
      return fail(Code::kUsage, fmt::format("'{}' is not a parameter of this kind of job", key),
                  fmt::format("known are {}", fmt::join(known, ", ")));
    }
  }
  return params;
}

Result<std::string> text_param(const nlohmann::json& params, const char* key,
                               const std::string& otherwise) {
  const auto found = params.find(key);
  if (found == params.end() || found->is_null()) return otherwise;
  if (!found->is_string()) return fail(Code::kUsage, fmt::format("'{}' must be a text", key));
  return found->get<std::string>();
}

Result<double> number_param(const nlohmann::json& params, const char* key, double otherwise,
                            double least, double most) {
  const auto found = params.find(key);
  if (found == params.end() || found->is_null()) return otherwise;
  const bool usable = found->is_number() && found->get<double>() >= least &&
                      found->get<double>() <= most;
  if (!usable) {
    return fail(Code::kUsage,
                fmt::format("'{}' must be a number from {} to {}", key, least, most));
  }
  return found->get<double>();
}

}  // namespace gantry
