// Counting in a model's own tokens, as its worker tells them.
#pragma once

#include "pipe/ask.h"

namespace gantry {

// One session's tokenizer over its HTTP (llama-server's /tokenize and /apply-template). A worker
// that has no such thing is taken to need one token for two bytes, more than any text in use.
class TokenCounter {
 public:
  TokenCounter(Session& session, const http::Cancel& cancel)
      : session_(session), cancel_(cancel) {}

  [[nodiscard]] Result<uint32_t> text(std::string_view text);
  // With the roles and marks that the model's template puts around it.
  [[nodiscard]] Result<uint32_t> prompt(const std::string& system, const std::string& user);
  bool exact() const { return !estimated_; }  // of what was counted so far

 private:
  [[nodiscard]] Result<std::optional<nlohmann::json>> call(const char* target,
                                                           const nlohmann::json& body);
  Session& session_;
  const http::Cancel& cancel_;
  bool estimated_ = false;
};

}  // namespace gantry
