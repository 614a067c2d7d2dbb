// Field by field.
#include "client/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cloud/endpoint.h"
#include "http/http.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr size_t kOptionsMax = 65'536;
constexpr double kMoneyMax = 1e6;
constexpr int64_t kLimitMaxMs = 24LL * 3600 * 1000;

Error wrong(const std::string& field, const char* want) {
  return {Code::kUsage, field + " must be " + want, "see docs/client.md"};
}

Result<void> read_text(const json& value, const std::string& field, std::string* out) {
  if (!value.is_string()) return fail(wrong(field, "a text"));
  *out = value.get<std::string>();
  return {};
}

Result<void> read_limit(const json& value, const std::string& field, Millis* out) {
  const bool sound = value.is_number_integer() && value >= 1 && value <= kLimitMaxMs;
  if (!sound) return fail(wrong(field, "milliseconds, from 1 to a day"));
  *out = Millis(value.get<int64_t>());
  return {};
}

Result<void> read_money(const json& value, const std::string& field, double* out) {
  const bool sound = value.is_number() && value >= 0 && value <= kMoneyMax;
  if (!sound) return fail(wrong(field, "dollars"));
  *out = value.get<double>();
  return {};
}

Result<std::vector<std::string>> read_names(const json& value, const std::string& field) {
  const auto is_text = [](const json& one) { return one.is_string(); };
  if (!value.is_array() || !std::ranges::all_of(value, is_text)) {
    return fail(wrong(field, "a list of names"));
  }
  return value.get<std::vector<std::string>>();
}

Result<void> read_models(const json& value, const std::string& field,
                         std::map<std::string, std::string>* out) {
  const auto is_text = [](const json& one) { return one.is_string(); };
  if (!value.is_object() || !std::ranges::all_of(value, is_text)) {
    return fail(wrong(field, "an object of names"));
  }
  for (const auto& [name, other] : value.items()) (*out)[name] = other.get<std::string>();
  return {};
}

Result<void> read_key(const json& value, const std::string& field, Os& os, std::string* out) {
  std::string variable;
  if (Result<void> text = read_text(value, field, &variable); !text) return text;
  const std::optional<std::string> key = os.env(variable);
  if (!key) return fail(Code::kUsage, field + " names " + variable + ", which is not set");
  if (key->find_first_of("\r\n") != std::string::npos) {
    return fail(Code::kUsage, variable + " has more than one line");
  }
  *out = *key;
  return {};
}

Result<void> read_field(const std::string& field, const json& value, Os& os, ClientOptions* out) {
  for (const auto& [name, into] :
       {std::pair{"npu", &out->npu}, {"local", &out->local}, {"cloud", &out->cloud},
        {"cloud_ca_file", &out->cloud_ca_file}, {"ledger", &out->ledger}}) {
    if (field == name) return read_text(value, field, into);
  }
  for (const auto& [name, into] :
       {std::pair{"npu_ms", &out->npu_limit}, {"local_ms", &out->local_limit},
        {"cloud_ms", &out->cloud_limit}}) {
    if (field == name) return read_limit(value, field, into);
  }
  if (field == "price_in") return read_money(value, field, &out->price_in);
  if (field == "price_out") return read_money(value, field, &out->price_out);
  if (field == "spend_max") return read_money(value, field, &out->spend_max.emplace());
  if (field == "cloud_models") return read_models(value, field, &out->cloud_models);
  if (field == "cloud_key_env") return read_key(value, field, os, &out->cloud_key);
  if (field != "cloud_allow" && field != "cloud_deny") {
    return fail(Code::kUsage, "unknown option " + field, "see docs/client.md");
  }
  Result<std::vector<std::string>> names = read_names(value, field);
  if (!names) return fail(names.error());
  if (field == "cloud_allow") out->cloud_allow = std::move(*names);
  else out->cloud_deny = std::move(*names);
  return {};
}

// What fields mean only together.
Result<void> check(const ClientOptions& options) {
  for (const std::string& address : {options.npu, options.local}) {
    if (address.empty()) continue;
    if (auto sound = http::parse_address(address); !sound) return fail(sound.error());
  }
  if (options.spend_max && (options.ledger.empty() || options.price_in <= 0)) {
    return fail(Code::kUsage, "spend_max needs price_in, price_out and ledger");
  }
  if (options.cloud.empty()) return {};
  EndpointOptions endpoint;
  endpoint.url = options.cloud;
  return check_endpoint(endpoint);
}

}  // namespace

Result<ClientOptions> read_client_options(std::string_view text, Os& os) {
  ClientOptions options;
  options.local = os.env("GANTRY_HOST").value_or(options.local);
  options.key = os.env("GANTRY_API_KEY").value_or("");
  if (text.size() > kOptionsMax) return fail(Code::kTooLarge, "the options are too long");
  const json given = text.empty() ? json::object() : json::parse(text, nullptr, false);
  if (!given.is_object()) return fail(Code::kUsage, "the options are no JSON object");
  for (const auto& [field, value] : given.items()) {
    if (Result<void> read = read_field(field, value, os, &options); !read) {
      return fail(read.error());
    }
  }
  if (Result<void> sound = check(options); !sound) return fail(sound.error());
  return options;
}

}  // namespace gantry
