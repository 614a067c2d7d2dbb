// Routes that look at the daemon and its models, and those that load and unload.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "http/message.h"
#include "serve/api.h"
#include "serve/json.h"

namespace gantry {

using nlohmann::json;

namespace {

constexpr Bytes kLogShown = KiB(64);
constexpr uint32_t kLoadsListed = 200;

const Use kAnyUse = {"this endpoint", {"language", "vision", "speech", "embedding", "command"}};

// Reads {"model"} and refuses what may not be opened; the name, or nothing when answered.
std::optional<std::string> named_model(Call& call) {
  const auto body = read_body(call, true);
  if (!body) return std::nullopt;
  auto name = body->at("model").get<std::string>();
  const auto models = call.api.foreman.models();
  if (const auto refusal = refuse_name(models, name, kAnyUse, call.exchange.local())) {
    call.reply(*refusal);
    return std::nullopt;
  }
  return name;
}

}  // namespace

void health(Call& call) {
  call.reply(json_response(200, {{"status", "ok"}, {"version", call.api.options.version}}));
}

void metrics(Call& call) {
  MetricsInput input;
  input.version = call.api.options.version;
  input.ledger = call.api.foreman.ledger();
  input.models = call.api.foreman.models();
  input.loads = call.api.foreman.last_loads();
  input.modes = call.api.foreman.modes();
  if (auto jobs = call.api.foreman.tally()) input.jobs = *jobs;
  input.requests = call.api.counts.all();
  input.connections = call.api.connections;
  input.working = call.api.working;
  if (auto statm = call.api.os.read_file("/proc/self/statm", KiB(4))) {
    input.resident = resident_of(*statm, static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
  }
  call.reply(text_response(200, "text/plain; version=0.0.4", render_metrics(input)));
}

void running(Call& call) {
  json list = json::array();
  for (const ModelStatus& model : call.api.foreman.models()) {
    if (model.state != "unloaded") list.push_back(running_json(model));
  }
  json devices = json::array();
  for (const LedgerStatus& device : call.api.foreman.ledger()) {
    devices.push_back(ledger_json(device));
  }
  json modes = json::array();
  for (const ModeStatus& mode : call.api.foreman.modes()) modes.push_back(mode_json(mode));
  call.reply(json_response(200, {{"running", list},
                                 {"devices", devices},
                                 {"modes", modes},
                                 {"ram_budget", call.api.options.ram_budget},
                                 {"vram_budget", call.api.options.vram_budget}}));
}

void history(Call& call) {
  const std::optional<std::string> model = call.request().query("model");
  auto loads = call.api.foreman.history(model.value_or(""), kLoadsListed);
  if (!loads) return call.reply(api_error(loads.error()));
  json list = json::array();
  for (const LoadSeen& load : *loads) list.push_back(load_json(load));
  call.reply(json_response(200, {{"object", "list"}, {"data", list}}));
}

void list_models(Call& call) {
  json list = json::array();
  for (const ModelStatus& model : call.api.foreman.models()) list.push_back(model_json(model));
  call.reply(json_response(200, {{"object", "list"}, {"data", list}}));
}

void show_model(Call& call) {
  const auto models = call.api.foreman.models();
  for (const ModelStatus& model : models) {
    if (model.name == call.argument) return call.reply(json_response(200, model_json(model)));
  }
  call.reply(open_error({Code::kNotFound, "", ""}, models, call.argument));
}

void load_model(Call& call) {
  const auto name = named_model(call);
  if (!name) return;
  auto loaded = call.api.foreman.load(*name, call.exchange.local());
  if (!loaded) return call.reply(open_error(loaded.error(), call.api.foreman.models(), *name));
  call.reply(json_response(200, {{"model", *name}, {"state", "ready"}}));
}

void unload_model(Call& call) {
  const auto name = named_model(call);
  if (!name) return;
  auto unloaded = call.api.foreman.unload(*name);
  if (!unloaded) return call.reply(open_error(unloaded.error(), call.api.foreman.models(), *name));
  call.reply(json_response(200, {{"model", *name}, {"state", "unloaded"}}));
}

void model_log(Call& call) {
  auto text = call.api.foreman.log(call.argument, kLogShown);
  if (!text) return call.reply(open_error(text.error(), call.api.foreman.models(), call.argument));
  call.reply(text_response(200, "text/plain; charset=utf-8", std::move(*text)));
}

void stop_daemon(Call& call) {
  call.reply(json_response(202, {{"status", "stopping"}}));
  if (call.api.options.on_stop) call.api.options.on_stop();
}

std::optional<json> read_body(Call& call, bool needs_model) {
  auto body = parse_json_object(call.request().body);
  if (!body) {
    call.reply(api_error(body.error()));
    return std::nullopt;
  }
  if (!needs_model) return std::move(*body);
  const auto model = body->find("model");
  if (model == body->end() || !model->is_string() || model->get_ref<const std::string&>().empty()) {
    call.reply(bad_request("model is missing (name one of GET /v1/models)", "model"));
    return std::nullopt;
  }
  return std::move(*body);
}

}  // namespace gantry
