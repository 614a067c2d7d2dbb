// A plan for scripts and for people.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "plan/plan.h"

namespace gantry {

namespace {

using nlohmann::json;

std::string engine_name(EngineKind engine) {
  switch (engine) {
    case EngineKind::kLlama: return "llama";
    case EngineKind::kWhisper: return "whisper";
    case EngineKind::kCommand: return "command";
    case EngineKind::kMedia: return "media";
    case EngineKind::kVoice: return "voice";
  }
  return "other";
}

json or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

json need_json(const Need& need) {
  return {{"device", need.device},     {"weights", need.weights.n},
          {"kv", need.kv.n},           {"compute", need.compute.n},
          {"overhead", need.overhead.n}, {"total", need.total().n}};
}

json stream_json(const std::optional<StreamPlan>& stream) {
  if (!stream) return nullptr;
  return {{"device", stream->device},
          {"resident_bytes", stream->resident.n},
          {"ring_bytes", stream->ring.n},
          {"expert_cache_bytes", stream->experts.n},
          {"streamed_bytes", stream->streamed.n},
          {"bytes_per_token", stream->per_token},
          {"device_budget_bytes", stream->device_budget.n},
          {"host_budget_bytes", stream->host_budget.n},
          {"lookup", stream->lookup}};
}

// The engine's bytes less the formulas', of all devices.
int64_t differs(const Placement& model) {
  if (model.formula.empty()) return 0;
  int64_t sum = 0;
  for (const Need& need : model.needs) sum += static_cast<int64_t>(need.total().n);
  for (const Need& need : model.formula) sum -= static_cast<int64_t>(need.total().n);
  return sum;
}

std::string bytes_text(const Placement& model) {
  if (model.formula.empty()) return {};
  const int64_t more = differs(model);
  if (more == 0) return "    bytes: engine, as by formula\n";
  const Bytes apart{static_cast<uint64_t>(more < 0 ? -more : more)};
  return fmt::format("    bytes: engine, {} {} than by formula\n", format_bytes(apart),
                     more > 0 ? "more" : "less");
}

json model_json(const Placement& model) {
  json needs = json::array();
  for (const Need& need : model.needs) needs.push_back(need_json(need));
  json formula = json::array();
  for (const Need& need : model.formula) formula.push_back(need_json(need));
  json splits = json::array();
  const bool tensors = model.split_mode == SplitMode::kTensor;
  for (const Split& split : model.splits) {
    splits.push_back({{"device", split.device}, {"layers", split.layers}});
    if (tensors) splits.back()["share"] = split.share;
  }
  return {{"name", model.name},
          {"alternative", model.alternative.empty() ? json(nullptr) : json(model.alternative)},
          {"engine", engine_name(model.engine)},
          {"context", model.context},
          {"layers",
           {{"resident", model.layers.resident},
            {"streamed", model.layers.streamed},
            {"cpu", model.layers.cpu}}},
          {"speed",
           {{"prefill", or_null(model.speed.prefill)},
            {"decode", or_null(model.speed.decode)},
            {"real_time", or_null(model.speed.real_time)},
            {"load_s", or_null(model.speed.load_s)},
            {"joules", or_null(model.speed.joules)}}},
          {"splits", splits},
          {"split_mode", tensors ? "tensor" : "layer"},
          {"cache_k", std::string(cache_type_name(model.cache_k))},
          {"cache_v", std::string(cache_type_name(model.cache_v))},
          {"ubatch", model.ubatch},
          {"encoder_on_cpu", model.encoder_on_cpu},
          {"stays", model.stays},
          {"cloud", model.cloud},
          {"given_up", model.given_up},
          {"needs", needs},
          {"bytes", model.formula.empty() ? "formula" : "engine"},
          {"formula", model.formula.empty() ? json(nullptr) : formula},
          {"differs_bytes", differs(model)},
          {"stream", stream_json(model.stream)},
          {"fits_alone", model.fits_alone},
          {"why", model.why}};
}

// Columns: name and device to the left, bytes to the right.
class Table {
 public:
  void row(std::string name, std::string device, const std::vector<std::string>& cells) {
    name_width_ = std::max(name_width_, name.size());
    device_width_ = std::max(device_width_, device.size());
    rows_.push_back({std::move(name), std::move(device), cells});
  }
  void line() { rows_.push_back({}); }

  std::string text() const {
    std::string out;
    for (const Row& row : rows_) {
      if (row.cells.empty()) {
        out += std::string(name_width_ + device_width_ + 2 + 5 * 11, '-') + "\n";
        continue;
      }
      std::string line = fmt::format("{:<{}}  {:<{}}", row.name, name_width_, row.device,
                                     device_width_);
      for (const std::string& cell : row.cells) line += fmt::format("{:>11}", cell);
      line.resize(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    return out;
  }

 private:
  struct Row {
    std::string name, device;
    std::vector<std::string> cells;
  };
  std::vector<Row> rows_;
  size_t name_width_ = 5;
  size_t device_width_ = 6;
};

std::vector<std::string> cells(Bytes weights, Bytes kv, Bytes compute, Bytes overhead,
                               Bytes total) {
  return {format_bytes(weights), format_bytes(kv), format_bytes(compute), format_bytes(overhead),
          format_bytes(total)};
}

// A line for each turn, in the order of a pipeline's stages; empty where there are none.
std::string turns_text(const Plan& plan) {
  std::string out;
  double round = 0;
  bool known = true;
  for (size_t i = 0; i < plan.turns.size(); ++i) {
    const Turn& turn = plan.turns[i];
    out += fmt::format("\n  {}. {}", i + 1, fmt::join(turn.models, " with "));
    if (turn.load_s) out += fmt::format(", loads in {:.1f} s", *turn.load_s);
    known = known && turn.load_s;
    round += turn.load_s.value_or(0);
  }
  if (plan.turns.size() > 1 && known) out += fmt::format("\n  a round loads for {:.1f} s", round);
  return out;
}

std::string verdict(const Plan& plan) {
  if (plan.together) {
    return plan.models.size() == 1 ? "It fits." : "All fit at the same time.";
  }
  if (!plan.fits) return "It does not fit.";
  if (std::ranges::none_of(plan.models, &Placement::stays)) {
    return "They fit one at a time: loading one unloads another." + turns_text(plan);
  }
  return "They fit, and these take turns:" + turns_text(plan);
}

std::string number_text(double rate) {
  return rate < 100 ? fmt::format("{:.1f}", rate) : fmt::format("{:.0f}", rate);
}

std::string speed_text(const Speed& speed) {
  std::string out;
  if (speed.decode) out += "; decodes at most " + number_text(*speed.decode) + " tokens/s";
  if (speed.prefill) out += "; reads at most " + number_text(*speed.prefill) + " tokens/s";
  if (speed.real_time) {
    out += fmt::format("; {:.2g} s of work for a second of sound", *speed.real_time);
  }
  if (speed.load_s) out += fmt::format("; loads in {:.1f} s", *speed.load_s);
  if (speed.joules) out += fmt::format("; {:.3g} J a use", *speed.joules);
  return out;
}

// Who is there, the largest first, and who is there only in turn.
std::string device_text(const Plan& plan, const DeviceShare& share) {
  std::vector<const Placement*> there;
  for (const Placement& model : plan.models) {
    if (model.on(share.name).n > 0) there.push_back(&model);
  }
  std::ranges::stable_sort(there, std::greater{},
                           [&](const Placement* model) { return model->on(share.name).n; });
  std::string out, turns;
  for (const Placement* model : there) {
    std::string& list = model->stays ? out : turns;
    list += (list.empty() ? "" : ", ") + model->name + " " + format_bytes(model->on(share.name));
  }
  if (!turns.empty()) out += (out.empty() ? "in turn " : "; in turn ") + turns;
  const Bytes missing = share.peak - share.budget;
  const std::string rest = missing.n > 0 ? format_bytes(missing) + " missing"
                                         : format_bytes(share.budget - share.peak) + " left";
  return fmt::format("  {}: {} of {}, {}: {}\n", share.name, format_bytes(share.peak),
                     format_bytes(share.budget), rest, out);
}

}  // namespace

nlohmann::json plan_json(const Plan& plan) {
  json devices = json::array(), models = json::array(), fixes = json::array();
  for (const DeviceShare& share : plan.devices) {
    devices.push_back({{"name", share.name},
                       {"weights", share.weights.n},
                       {"kv", share.kv.n},
                       {"compute", share.compute.n},
                       {"overhead", share.overhead.n},
                       {"total", share.total.n},
                       {"peak", share.peak.n},
                       {"budget", share.budget.n},
                       {"missing", (share.peak - share.budget).n}});
  }
  for (const Placement& model : plan.models) models.push_back(model_json(model));
  json turns = json::array();
  for (const Turn& turn : plan.turns) {
    turns.push_back({{"models", turn.models}, {"load_s", or_null(turn.load_s)}});
  }
  for (const Fix& fix : plan.fixes) {
    fixes.push_back({{"change", fix.change}, {"saves_bytes", fix.saves.n}});
  }
  return {{"fits", plan.fits},       {"together", plan.together}, {"devices", devices},
          {"models", models},        {"fixes", fixes},            {"notes", plan.notes},
          {"turns", turns}};
}

std::string plan_text(const Plan& plan) {
  Table table;
  table.row("model", "device", {"weights", "cache", "compute", "overhead", "total"});
  for (const Placement& model : plan.models) {
    for (const Need& need : model.needs) {
      table.row(model.name, need.device,
                cells(need.weights, need.kv, need.compute, need.overhead, need.total()));
    }
  }
  table.line();
  for (const DeviceShare& share : plan.devices) {
    if (share.total.n == 0) continue;
    table.row("together", share.name,
              cells(share.weights, share.kv, share.compute, share.overhead, share.total));
    if (share.peak != share.total) {
      table.row("at once", share.name, {"", "", "", "", format_bytes(share.peak)});
    }
    table.row("budget", share.name, {"", "", "", "", format_bytes(share.budget)});
  }
  std::string out = table.text() + "\n" + verdict(plan) + "\n";
  for (const Placement& model : plan.models) {
    out += fmt::format("  {}: {}{}\n", model.name, model.why, speed_text(model.speed));
    out += bytes_text(model);
    for (const std::string& words : model.given_up) out += "    given up: " + words + "\n";
  }
  for (const DeviceShare& share : plan.devices) {
    if (share.total.n > 0) out += device_text(plan, share);
  }
  for (const std::string& note : plan.notes) out += "  note: " + note + "\n";
  if (!plan.fixes.empty()) out += "Enough would be one of:\n";
  for (const Fix& fix : plan.fixes) {
    out += fmt::format("  {:<32} ({} {})\n", fix.change,
                       fix.change.find("-budget") == std::string::npos ? "saves" : "adds",
                       format_bytes(fix.saves));
  }
  if (!plan.fits && plan.fixes.empty()) {
    out += "No single change is enough: use a smaller model (`gantry advise` knows which).\n";
  }
  return out;
}

}  // namespace gantry
