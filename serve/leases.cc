// Leases of programs that are not ours: held as long as the connection and the process behind it.
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "serve/api.h"
#include "serve/json.h"

namespace gantry {

using nlohmann::json;

namespace {

constexpr uint32_t kLeaseLimitMaxS = 366 * 86'400;

std::optional<ApiError> read_wish(const json& body, LeaseWish* wish) {
  for (const auto& [key, out] : {std::pair{"device", &wish->device},
                                 std::pair{"program", &wish->program}}) {
    const json value = body.value(key, json(nullptr));
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
      return bad_request(std::string(key) + " must be a text", key);
    }
    *out = value.get<std::string>();
  }
  const json pid = body.value("pid", json(0U));
  if (!pid.is_number_unsigned() || pid <= 1 || pid > INT32_MAX) {
    return bad_request("pid must be the number of a process", "pid");
  }
  wish->pid = pid.get<int>();
  const json whole = body.value("whole", json(false));
  if (!whole.is_boolean()) return bad_request("whole must be true or false", "whole");
  wish->whole = whole.get<bool>();
  const json bytes = body.value("bytes", json(0U));
  if (!bytes.is_number_unsigned()) return bad_request("bytes must be a whole number", "bytes");
  wish->bytes = Bytes{bytes.get<uint64_t>()};
  const json priority = body.value("priority", json(0));
  if (!priority.is_number_integer() || priority < -100 || priority > 100) {
    return bad_request("priority must be a whole number from -100 to 100", "priority");
  }
  wish->priority = priority.get<int>();
  const json limit = body.value("limit_s", json(0U));
  if (!limit.is_number_unsigned() || limit > kLeaseLimitMaxS) {
    return bad_request("limit_s must be a number of seconds, a year at most", "limit_s");
  }
  wish->limit = std::chrono::seconds(limit.get<uint32_t>());
  return std::nullopt;
}

}  // namespace

// The answer begins when the lease is granted and ends never: the client hangs up.
void lease_device(Call& call) {
  if (!call.exchange.local()) {
    return call.reply(ApiError{403, "leases are given over the unix socket only",
                               std::string(code_name(Code::kPermission)), {}});
  }
  const auto body = read_body(call, false);
  if (!body) return;
  LeaseWish wish;
  if (const auto error = read_wish(*body, &wish)) return call.reply(*error);
  auto lease = call.api.foreman.lease(wish, call.exchange.gone());
  if (!lease) return call.reply(api_error(lease.error()));
  json environment = json::object();
  for (const auto& [name, value] : (*lease)->environment()) environment[name] = value;
  http::Response head;
  head.headers = {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}};
  if (!call.exchange.begin(head)) return;
  const json granted = {{"type", "granted"},
                        {"token", std::to_string((*lease)->token())},  // above 2^53
                        {"device", wish.device},
                        {"bytes", (*lease)->bytes().n},
                        {"environment", environment}};
  if (!call.exchange.write("data: " + dump(granted) + "\n\n")) return;
  while (!call.exchange.gone()) call.api.os.sleep(Millis(20));
}

void list_leases(Call& call) {
  json list = json::array();
  for (const LeaseStatus& lease : call.api.foreman.leases()) list.push_back(lease_json(lease));
  call.reply(json_response(200, {{"object", "list"}, {"data", list}}));
}

}  // namespace gantry
