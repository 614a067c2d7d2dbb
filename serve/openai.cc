// Chat, completions and embeddings: checked here, answered by a llama-server worker.
#include <nlohmann/json.hpp>

#include "serve/openai_check.h"
#include "serve/proxy.h"

namespace gantry {

using nlohmann::json;

namespace {

using Check = std::optional<ApiError> (*)(const json& body);

void answer(Call& call, const Use& use, Check check) {
  const auto body = read_body(call, true);
  if (!body) return;
  if (const auto error = check(*body)) return call.reply(*error);
  bool stays = false;
  if (const auto error = check_private(call.request(), *body, &stays)) return call.reply(*error);
  proxy(call, body->at("model").get<std::string>(), use, stays);
}

}  // namespace

void chat_completions(Call& call) {
  answer(call, {"/v1/chat/completions", {"language", "vision", "command"}}, check_chat);
}

void completions(Call& call) {
  answer(call, {"/v1/completions", {"language", "vision", "command"}}, check_completion);
}

void embeddings(Call& call) {
  answer(call, {"/v1/embeddings", {"embedding", "command"}}, check_embedding);
}

}  // namespace gantry
