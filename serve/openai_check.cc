// What a body of the OpenAI endpoints must have.
#include "serve/openai_check.h"

#include <nlohmann/json.hpp>

namespace gantry {

using nlohmann::json;

namespace {

constexpr std::string_view kData = "data:";

std::optional<ApiError> check_stream(const json& body) {
  const auto stream = body.find("stream");
  if (stream == body.end() || stream->is_boolean() || stream->is_null()) return std::nullopt;
  return bad_request("stream must be true or false", "stream");
}

bool is_data_url(const json& value) {
  return value.is_string() && value.get_ref<const std::string&>().starts_with(kData);
}

// A content part's fields: "image_url": {"url": ...} or "image_url": "...", and their likes.
std::optional<ApiError> check_part(const json& part) {
  if (!part.is_object()) return std::nullopt;
  for (const auto& [key, value] : part.items()) {
    const bool is_url = key == "url" || key.ends_with("_url");
    const bool inner = value.is_object() && value.contains("url");
    if ((is_url && !value.is_object() && !is_data_url(value)) ||
        (inner && !is_data_url(value.at("url"))) || (is_url && value.is_object() && !inner)) {
      return bad_request(key + " must be a data: URL; this server fetches nothing for a request",
                         "messages");
    }
  }
  return std::nullopt;
}

std::optional<ApiError> check_message(const json& message) {
  if (!message.is_object()) return bad_request("each of messages must be an object", "messages");
  const auto content = message.find("content");
  if (content == message.end() || !content->is_array()) return std::nullopt;
  for (const json& part : *content) {
    if (auto error = check_part(part)) return error;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> check_chat(const json& body) {
  const auto messages = body.find("messages");
  if (messages == body.end() || !messages->is_array() || messages->empty()) {
    return bad_request("messages must be a list with at least one message", "messages");
  }
  for (const json& message : *messages) {
    if (auto error = check_message(message)) return error;
  }
  return check_stream(body);
}

std::optional<ApiError> check_completion(const json& body) {
  const auto prompt = body.find("prompt");
  if (prompt == body.end() || !(prompt->is_string() || prompt->is_array())) {
    return bad_request("prompt must be a text or a list", "prompt");
  }
  return check_stream(body);
}

std::optional<ApiError> check_embedding(const json& body) {
  const auto input = body.find("input");
  const bool usable =
      input != body.end() && (input->is_string() || input->is_array()) && !input->empty();
  if (!usable) return bad_request("input must be a text or a list of texts", "input");
  return std::nullopt;
}

std::optional<ApiError> check_private(const http::Request& request, const json& body,
                                      bool* stays) {
  const auto field = body.find("private");
  if (field != body.end() && !field->is_null() && !field->is_boolean()) {
    return bad_request("private must be true or false", "private");
  }
  const std::string_view header = request.header("X-Gantry-Private");
  const bool yes = header == "true" || header == "1";
  if (!yes && !header.empty() && header != "false" && header != "0") {
    return bad_request("X-Gantry-Private must be true or false", "X-Gantry-Private");
  }
  *stays = yes || (field != body.end() && field->is_boolean() && field->get<bool>());
  return std::nullopt;
}

}  // namespace gantry
