// Answers: JSON and OpenAI error objects.
#include "serve/reply.h"

#include <nlohmann/json.hpp>

namespace gantry {

using nlohmann::json;

namespace {

constexpr std::string_view kRetryAfterS = "5";

std::string_view error_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

// Depth and number of values, counted outside strings. Exact for text that is JSON; for other
// text the parser says no anyway.
Result<void> check_shape(std::string_view text) {
  uint32_t depth = 0;
  uint32_t values = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == ',' || c == '[' || c == '{') ++values;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && depth > 0) --depth;
    if (depth > kJsonDepthMax) {
      return fail(Code::kUsage,
                  "the JSON body is nested more than " + std::to_string(kJsonDepthMax) + " deep");
    }
    if (values > kJsonValuesMax) {
      return fail(Code::kTooLarge, "the JSON body has more than " +
                                       std::to_string(kJsonValuesMax) + " values");
    }
  }
  return {};
}

}  // namespace

ApiError api_error(const Error& error) {
  return {http_status(error.code), describe(error), std::string(code_name(error.code)), {}};
}

ApiError bad_request(std::string message, std::string param) {
  return {400, std::move(message), std::string(code_name(Code::kUsage)), std::move(param)};
}

json error_json(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error_type(error.status)},
            {"param", error.param.empty() ? json(nullptr) : json(error.param)},
            {"code", error.code}}}};
}

http::Response error_response(const ApiError& error) {
  http::Response response = json_response(error.status, error_json(error));
  if (error.status == 429 || error.status == 503) {
    response.headers.emplace_back("Retry-After", kRetryAfterS);
  }
  return response;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

http::Response json_response(int status, const json& value) {
  return text_response(status, "application/json", dump(value));
}

http::Response text_response(int status, std::string_view content_type, std::string body) {
  http::Response response;
  response.status = status;
  response.headers = {{"Content-Type", std::string(content_type)},
                      {"X-Content-Type-Options", "nosniff"}};
  response.body = std::move(body);
  return response;
}

Result<json> parse_json(std::string_view text) {
  auto shape = check_shape(text);
  if (!shape) return fail(shape.error());
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    return fail(Code::kUsage, text.empty() ? "the body is empty" : "the body is not valid JSON",
                "send a JSON object");
  }
  return value;
}

Result<json> parse_json_object(std::string_view text) {
  auto value = parse_json(text);
  if (value && !value->is_object()) {
    return fail(Code::kUsage, "the body is not a JSON object", "send a JSON object");
  }
  return value;
}

}  // namespace gantry
