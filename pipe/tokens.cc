// Asking a worker's tokenizer.
#include "pipe/tokens.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace gantry {

namespace {

constexpr size_t kBytesPerToken = 2;    // where nobody tells
constexpr uint32_t kTemplateTokens = 64;  // around a prompt, where nobody tells

uint32_t estimate(size_t bytes) {
  return static_cast<uint32_t>(std::min<size_t>(bytes / kBytesPerToken + 1, UINT32_MAX));
}

}  // namespace

Result<std::optional<nlohmann::json>> TokenCounter::call(const char* target,
                                                         const nlohmann::json& body) {
  const http::Request request{
      "POST", target, {{"Content-Type", "application/json"}},
      body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
  http::FetchOptions options;
  options.cancel = &cancel_;
  Result<http::Response> got = http::fetch(session_.worker().address(), request, options);
  if (!got) {
    // What ended the connection is told better by the process than by the socket.
    if (Result<void> alive = session_.worker().alive(); !alive) return fail(alive.error());
    return fail(got.error());
  }
  if (got->status == 404 || got->status == 405 || got->status == 501) {
    estimated_ = true;
    return std::optional<nlohmann::json>{};
  }
  nlohmann::json answer = nlohmann::json::parse(got->body, nullptr, false);
  if (got->status != 200 || !answer.is_object()) {
    return fail(Code::kWorkerFailed,
                fmt::format("the model's tokenizer answered with status {}", got->status));
  }
  return std::optional(std::move(answer));
}

Result<uint32_t> TokenCounter::text(std::string_view text) {
  if (text.empty()) return 0;
  Result<std::optional<nlohmann::json>> got =
      call("/tokenize", {{"content", text}, {"add_special", false}, {"parse_special", true}});
  if (!got) return fail(got.error());
  if (!*got) return estimate(text.size());
  const auto tokens = (*got)->find("tokens");
  if (tokens == (*got)->end() || !tokens->is_array()) {
    return fail(Code::kWorkerFailed, "the model's tokenizer told no tokens");
  }
  return static_cast<uint32_t>(tokens->size());
}

Result<uint32_t> TokenCounter::prompt(const std::string& system, const std::string& user) {
  nlohmann::json messages = nlohmann::json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", user}});
  Result<std::optional<nlohmann::json>> got =
      call("/apply-template", {{"messages", std::move(messages)}});
  if (!got) return fail(got.error());
  if (!*got) return estimate(system.size() + user.size()) + kTemplateTokens;
  const auto whole = (*got)->find("prompt");
  if (whole == (*got)->end() || !whole->is_string()) {
    return fail(Code::kWorkerFailed, "the model's template gave no prompt");
  }
  Result<uint32_t> tokens = text(whole->get<std::string>());
  if (!tokens) return fail(tokens.error());
  return *tokens + 1;  // the mark at the beginning, which some vocabularies add
}

}  // namespace gantry
