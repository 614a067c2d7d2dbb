// mode: which of several models answers, and the user's word on that.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/cmd_history.h"
#include "apps/context.h"

namespace gantry {

namespace {

using nlohmann::json;

struct ModeFlags final : Flags {
  std::string model, mode;
  bool reset = false;
};

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

json list_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

std::string figure_of(const json& member) {
  const auto factor = member.find("real_time_factor");
  if (factor == member.end() || !factor->is_number()) return "-";
  return fmt::format("{:.2g} {}", factor->get<double>(),
                     member.value("measured", false) ? "measured" : "predicted");
}

// A block for each: what is set, who answers and why, then all that it may be, the best first.
std::string mode_text(const json& mode) {
  const std::string taken = text_at(mode, "taken"), set = text_at(mode, "mode");
  const std::string configured = text_at(mode, "configured");
  std::string out = text_at(mode, "model") + ": " + set;
  if (set != configured) out += " (" + configured + " configured)";
  out += taken.empty() ? ", none can be had\n" : ", " + taken + " answers\n";
  if (!taken.empty()) out += "  " + text_at(mode, "why") + "\n";
  constexpr const char* kRow = "  {:<2}{:<28} {:<8} {:<18} {}\n";
  out += fmt::format(kRow, "", "model", "device", "s for 1 s of sound", "");
  for (const json& member : list_at(mode, "members")) {
    const std::string name = text_at(member, "model"), device = text_at(member, "device");
    std::string row = fmt::format(kRow, name == taken ? "*" : "", name,
                                  device.empty() ? "-" : device, figure_of(member),
                                  text_at(member, "trouble"));
    row.erase(row.find_last_not_of(" \n") + 1);
    out += row + "\n";
  }
  return out;
}

Result<void> show(const CliContext& context, const DaemonLink& link, const std::string& model) {
  Result<json> modes = link.call("GET", "/v1/modes", "");
  if (!modes) return fail(modes.error());
  if (context.json && model.empty()) return print(modes->dump(2) + "\n");
  std::string out, known;
  for (const json& mode : list_at(*modes, "data")) {
    const std::string name = text_at(mode, "model");
    known += (known.empty() ? "" : ", ") + name;
    if (!model.empty() && name != model) continue;
    if (context.json) return print(mode.dump(2) + "\n");
    out += (out.empty() ? "" : "\n") + mode_text(mode);
  }
  if (!out.empty()) return print(out);
  if (model.empty()) {
    return print("no model is one of several; `one_of` declares one (docs/speech.md)\n");
  }
  return fail(Code::kNotFound, model + " is not one of several models",
              known.empty() ? "declare one with `one_of` (docs/speech.md)" : "there are " + known);
}

Result<void> mode(const CliContext& context, const ModeFlags& flags) {
  const bool sets = flags.reset || !flags.mode.empty();
  if (flags.reset && (flags.model.empty() || !flags.mode.empty())) {
    return fail(Code::kUsage, "--reset is of one model, without a mode",
                "gantry mode MODEL --reset");
  }
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  if (!sets) return show(context, *link, flags.model);
  const json body = {{"mode", flags.reset ? json(nullptr) : json(flags.mode)}};
  Result<json> set = link->call("POST", "/v1/modes/" + query_value(flags.model), body.dump());
  if (!set) return fail(set.error());
  return print(context.json ? set->dump(2) + "\n" : mode_text(*set));
}

}  // namespace

void add_mode(CLI::App& app, CliContext& context) {
  ModeFlags& flags = context.keep<ModeFlags>();
  CLI::App* command = app.add_subcommand("mode", "Which of several models answers, and why");
  command->add_option("model", flags.model, "A model with `one_of` in the configuration");
  command->add_option("mode", flags.mode, "accuracy, balanced or speed: from the next request on")
      ->check(CLI::IsMember({"accuracy", "balanced", "speed"}));
  command->add_flag("--reset", flags.reset, "As it is configured");
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer("Examples:\n  gantry mode                 who answers now, by which figures\n"
                  "  gantry mode ear speed       from the next request on, over restarts\n"
                  "  gantry mode ear --reset     as it is configured");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(mode(context, flags)); };
  });
}

}  // namespace gantry
