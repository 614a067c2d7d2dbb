// Answers: JSON and OpenAI error objects.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/http.h"

namespace gantry {

// An Error at HTTP's door. `param` names the offending field of the request; `code` replaces
// code_name where clients know another word (model_not_found, invalid_api_key).
struct ApiError {
  int status = 500;
  std::string message;
  std::string code;
  std::string param = {};
};

ApiError api_error(const Error& error);
ApiError bad_request(std::string message, std::string param = {});

// {"error":{"message","type","param","code"}}; 429 and 503 get Retry-After.
http::Response error_response(const ApiError& error);
nlohmann::json error_json(const ApiError& error);

// Bytes that are no UTF-8 (a worker's log, say) are replaced, never an exception.
std::string dump(const nlohmann::json& json);
http::Response json_response(int status, const nlohmann::json& json);
http::Response text_response(int status, std::string_view content_type, std::string body);

// A JSON body from outside, at most kJsonDepthMax deep and kJsonValuesMax values long: checked
// before it is parsed, since a parsed value takes many times its text.
constexpr uint32_t kJsonDepthMax = 64;
constexpr uint32_t kJsonValuesMax = 1'000'000;
[[nodiscard]] Result<nlohmann::json> parse_json(std::string_view text);
// The same, and an object.
[[nodiscard]] Result<nlohmann::json> parse_json_object(std::string_view text);

}  // namespace gantry
