// Which model a request may use at which endpoint: decided from names, before anything is loaded.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foreman/client.h"
#include "serve/reply.h"

namespace gantry {

// What an endpoint can use. "command" models are programs of the user's, of any kind.
struct Use {
  std::string_view endpoint;
  std::vector<std::string_view> kinds;
};

// Something that could be meant as a file: only the owner, over the unix socket, may name files.
bool looks_like_path(std::string_view name);

// Why `name` is refused; nothing when it may be opened. An alias is not among the models' names:
// it passes here, and refuse_kind() looks again once it is open.
std::optional<ApiError> refuse_name(std::span<const ModelStatus> models, const std::string& name,
                                    const Use& use, bool local);
std::optional<ApiError> refuse_kind(std::span<const ModelStatus> models, const std::string& name,
                                    const Use& use);

// An error of opening `name`: an unknown one lists those that are known.
ApiError open_error(const Error& error, std::span<const ModelStatus> models,
                    const std::string& name);

}  // namespace gantry
