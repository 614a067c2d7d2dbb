// The foreman's values as JSON.
#include "serve/json.h"

#include <nlohmann/json.hpp>

namespace gantry {

using nlohmann::json;

namespace {

json time_or_null(WallTime time) {
  return time == WallTime{} ? json(nullptr) : json(format_time(time));
}

json result_value(const std::string& bytes) {
  if (bytes.starts_with('{') || bytes.starts_with('[')) {
    json value = json::parse(bytes, nullptr, false);
    if (!value.is_discarded()) return value;
  }
  return bytes;
}

json json_value(const std::string& text) {
  if (text.empty()) return json::array();
  json value = json::parse(text, nullptr, false);
  return value.is_discarded() ? json::array() : value;
}

json error_value(const std::optional<Error>& error) {
  if (!error) return nullptr;
  return {{"code", code_name(error->code)},
          {"message", error->message},
          {"remedy", error->remedy}};
}

// Null for a model that is whole. Figures of what moved are there once the worker has said any.
json stream_json(const ModelStatus& model) {
  if (!model.placement.stream) return nullptr;
  const Layers& layers = model.placement.layers;
  json out = {{"device", model.placement.stream->device},
              {"layers", {{"resident", layers.resident}, {"streamed", layers.streamed}}},
              {"lookup", model.placement.stream->lookup}};
  if (!model.stream) return out;
  const StreamCounters& seen = *model.stream;
  out.update({{"resident_bytes", seen.resident_bytes},
              {"ring_bytes", seen.ring_bytes},
              {"expert_cache_bytes", seen.expert_cache_bytes},
              {"host_bytes", seen.host_bytes},
              {"kv_compute_bytes", seen.kv_compute_bytes},
              {"budget_bytes", seen.budget_bytes},
              {"read_bytes", seen.disk_bytes},
              {"copied_bytes", seen.copy_bytes},
              {"stall_seconds", seen.stall_s},
              {"overlap", seen.overlap()},
              {"errors", seen.errors}});
  return out;
}

json inputs_json(const Job& job) {
  json inputs = json::array();
  for (size_t i = 0; i < job.spec.files.size(); ++i) {
    const std::string kept = i < job.input_sha256.size() ? job.input_sha256[i] : "";
    inputs.push_back({{"file", job.spec.files[i]},
                      {"kept_sha256", kept.empty() ? json(nullptr) : json(kept)}});
  }
  return inputs;
}

}  // namespace

json job_json(const Job& job, const std::string* result) {
  return {{"id", job.id},
          {"kind", job.spec.kind},
          {"state", job_state_name(job.state)},
          {"attempts", job.attempts},
          {"device", job.device},
          {"device_hint", job.spec.device.empty() ? json(nullptr) : json(job.spec.device)},
          {"on_shortage", job.spec.shortage},
          {"private", job.spec.stays},
          {"answered_by", json_value(job.answered)},
          {"result", result == nullptr ? json(nullptr) : result_value(*result)},
          {"result_sha256", job.result_sha256.empty() ? json(nullptr) : json(job.result_sha256)},
          {"error", error_value(job.error)},
          {"evidence", json_value(job.evidence)},
          {"priority", job.spec.priority},
          {"files", job.spec.files},
          {"inputs", inputs_json(job)},
          {"depends_on", job.spec.depends_on},
          {"part_of", job.part_of.empty() ? json(nullptr) : json(job.part_of)},
          {"part", job.part.empty() ? json(nullptr) : json(job.part)},
          {"not_before", time_or_null(job.spec.not_before)},
          {"deadline", time_or_null(job.spec.deadline)},
          {"waits_for", job.waits_for.empty() ? json(nullptr) : json(job.waits_for)},
          {"submitted", time_or_null(job.submitted)},
          {"started", time_or_null(job.started)},
          {"finished", time_or_null(job.finished)},
          {"progress", job.progress},
          {"remaining_s", job.remaining_s ? json(*job.remaining_s) : json(nullptr)},
          {"step", job.step}};
}

json model_json(const ModelStatus& model) {
  json out = {{"id", model.name},     {"object", "model"},    {"created", 0},
              {"owned_by", "gantry"}, {"kind", model.kind},   {"state", model.state}};
  if (!model.one_of.empty()) out["one_of"] = model.one_of;
  return out;
}

json running_json(const ModelStatus& model) {
  json devices = json::array();
  for (const Need& need : model.placement.needs) devices.push_back(need.device);
  return {{"model", model.name},
          {"kind", model.kind},
          {"state", model.state},
          {"pid", model.pid},
          {"sessions", model.sessions},
          {"devices", devices},
          {"predicted_bytes", model.predicted.n},
          {"measured_bytes", model.measured.n},
          {"waits", model.waits.empty() ? json(nullptr) : json(model.waits)},
          {"lease_exceeded", model.grown},
          {"fallbacks", model.fallbacks},
          {"stream", stream_json(model)}};
}

json load_json(const LoadSeen& load) {
  const auto number = [](const std::optional<double>& value) {
    return value ? json(*value) : json(nullptr);
  };
  json devices = json::array();
  for (const LoadBytes& bytes : load.bytes) {
    devices.push_back({{"name", bytes.device},
                       {"predicted_bytes", bytes.predicted.n},
                       {"measured_bytes", bytes.measured ? json(bytes.measured->n) : json(nullptr)},
                       {"error", number(bytes.error())}});
  }
  return {{"model", load.model},
          {"loaded", time_or_null(load.at)},
          {"end", load_end_name(load.end)},
          {"sessions", load.sessions},
          {"devices", devices},
          {"load_seconds", {{"predicted", number(load.load_s_predicted)},
                            {"measured", load.load_s}}},
          {"decode", {{"predicted", number(load.decode_predicted)},
                      {"measured", number(load.decode)}}}};
}

json ledger_json(const LedgerStatus& device) {
  json strangers = json::array();
  for (const Holder& holder : device.strangers) {
    strangers.push_back(
        {{"pid", holder.pid}, {"name", holder.name}, {"bytes", holder.bytes.n}});
  }
  return {{"name", device.device},
          {"budget_bytes", device.budget.n},
          {"booked_bytes", device.booked.n},
          {"measured_peak_bytes", device.measured_peak.n},
          {"elsewhere_bytes", device.elsewhere.n},
          {"strangers", strangers}};
}

json mode_json(const ModeStatus& mode) {
  json members = json::array();
  for (const Candidate& member : mode.members) {
    members.push_back(
        {{"model", member.name},
         {"device", member.device.empty() ? json(nullptr) : json(member.device)},
         {"fits", member.fits},
         {"trouble", member.trouble.empty() ? json(nullptr) : json(member.trouble)},
         {"real_time_factor", member.factor ? json(*member.factor) : json(nullptr)},
         {"measured", member.measured}});
  }
  return {{"model", mode.model},
          {"mode", mode_name(mode.mode)},
          {"configured", mode_name(mode.configured)},
          {"taken", mode.taken.empty() ? json(nullptr) : json(mode.taken)},
          {"why", mode.why},
          {"level", mode.level},
          {"pressure", mode.pressure.empty() ? json(nullptr) : json(mode.pressure)},
          {"changes", mode.changes},
          {"members", members}};
}

json lease_json(const LeaseStatus& lease) {
  return {{"token", std::to_string(lease.token)},  // above 2^53
          {"holder", lease.holder},
          {"kind", lease.program ? "program" : "worker"},
          {"pid", lease.pid},
          {"device", lease.device},
          {"bytes", lease.bytes.n},
          {"exclusive", lease.whole},
          {"since", format_time(lease.since)},
          {"heartbeat", format_time(lease.heartbeat)},
          {"deadline", lease.deadline ? json(format_time(*lease.deadline)) : json(nullptr)},
          {"uid", lease.uid ? json(*lease.uid) : json(nullptr)}};
}

}  // namespace gantry
