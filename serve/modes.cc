// Routes of models that are one of several: who answers, and which mode decides.
#include <nlohmann/json.hpp>

#include "serve/api.h"
#include "serve/json.h"

namespace gantry {

using nlohmann::json;

void list_modes(Call& call) {
  json list = json::array();
  for (const ModeStatus& mode : call.api.foreman.modes()) list.push_back(mode_json(mode));
  call.reply(json_response(200, {{"object", "list"}, {"data", list}}));
}

// {"mode": "speed"}; null takes the user's word back. The answer is how it stands then.
void set_mode(Call& call) {
  const auto body = read_body(call, false);
  if (!body) return;
  const auto said = body->find("mode");
  const bool word = said != body->end() && said->is_string();
  const std::optional<Mode> mode =
      word ? mode_of(said->get_ref<const std::string&>()) : std::optional<Mode>();
  if (said == body->end() || (!said->is_null() && !mode)) {
    return call.reply(bad_request(
        "mode must be accuracy, balanced or speed, or null for what is configured", "mode"));
  }
  const Result<ModeStatus> set = call.api.foreman.set_mode(call.argument, mode);
  if (!set) return call.reply(api_error(set.error()));
  call.reply(json_response(200, mode_json(*set)));
}

}  // namespace gantry
