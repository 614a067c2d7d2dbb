// OpenAI's usage objects: chat and completions, embeddings, responses.
#include "cloud/usage.h"

#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace gantry {

namespace {

constexpr Bytes kKeptMax = MiB(32);

std::optional<uint64_t> number(const nlohmann::json& object, const char* a, const char* b) {
  for (const char* key : {a, b}) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_number_unsigned()) return found->get<uint64_t>();
  }
  return std::nullopt;
}

std::optional<Usage> usage_of(const nlohmann::json& answer) {
  if (!answer.is_object()) return std::nullopt;
  const auto response = answer.find("response");  // the last event of a stream of /v1/responses
  if (response != answer.end() && response->is_object()) return usage_of(*response);
  const auto usage = answer.find("usage");
  if (usage == answer.end() || !usage->is_object()) return std::nullopt;
  const auto prompt = number(*usage, "prompt_tokens", "input_tokens");
  if (!prompt) return std::nullopt;
  return Usage{*prompt, number(*usage, "completion_tokens", "output_tokens").value_or(0)};
}

}  // namespace

void UsageReader::line(std::string_view text) {
  if (!text.starts_with("data:") || text.find("\"usage\"") == text.npos) return;
  text.remove_prefix(5);
  if (const auto usage = usage_of(nlohmann::json::parse(text, nullptr, false))) found_ = usage;
}

void UsageReader::feed(std::string_view piece) {
  if (!lost_) kept_ += piece;
  if (events_) {
    size_t at = 0;
    for (size_t end; (end = kept_.find('\n', at)) != std::string::npos; at = end + 1) {
      line(std::string_view(kept_).substr(at, end - at));
    }
    kept_.erase(0, at);
  }
  if (kept_.size() > kKeptMax.n) {
    lost_ = true;
    kept_.clear();
  }
}

std::optional<Usage> UsageReader::usage() {
  if (events_) line(kept_);
  else if (!lost_) found_ = usage_of(nlohmann::json::parse(kept_, nullptr, false));
  return found_;
}

}  // namespace gantry
