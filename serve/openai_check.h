// What a body of the OpenAI endpoints must have before a model is loaded for it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "serve/reply.h"

namespace gantry {

// Pictures and sounds must come as data: URLs. A worker that was handed another URL would fetch
// it: any address it can reach, in the name of whoever sent the request.
std::optional<ApiError> check_chat(const nlohmann::json& body);
std::optional<ApiError> check_completion(const nlohmann::json& body);
std::optional<ApiError> check_embedding(const nlohmann::json& body);

// Whether nothing of the request may leave this machine: `private` in the body, or the header
// X-Gantry-Private; either is enough.
std::optional<ApiError> check_private(const http::Request& request, const nlohmann::json& body,
                                      bool* stays);

}  // namespace gantry
