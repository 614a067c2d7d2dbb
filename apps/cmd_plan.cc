// plan: would these models fit, where, and why; no daemon needed.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/cmd_history.h"
#include "apps/context.h"
#include "apps/paths.h"
#include "apps/plan_choice.h"
#include "audit/catalogue.h"
#include "foreman/household.h"
#include "foreman/live.h"
#include "foreman/roster.h"
#include "plan/catalogue.h"
#include "plan/explain.h"
#include "plan/levers.h"
#include "plan/plan.h"
#include "plan/svg.h"

namespace gantry {

namespace {

constexpr Bytes kMachineFileMax = MiB(1);

struct PlanFlags final : Flags {
  std::vector<std::string> models, together, apart, stay, allow, shortage, devices, priorities;
  std::string machine, cache_k, cache_v, preset, prefer, reserve, cap, svg;
  bool no_stream = false, no_probe = false, why = false, history = false;
  uint32_t context = 0;
  uint32_t parallel = 0;
};

Result<Machine> machine_of(const CliContext& context, const Config& config,
                           const PlanFlags& flags) {
  if (flags.machine.empty() || flags.machine == "local") return context.audited(config);
  if (auto known = catalogue_machine(flags.machine)) return std::move(*known);
  Result<std::string> text = context.os.read_file(flags.machine, kMachineFileMax);
  if (text) return parse_machine(*text);
  if (text.error().code != Code::kNotFound || flags.machine.find('/') != std::string::npos) {
    return fail(text.error());
  }
  const std::string near = nearest_machine(flags.machine);
  return fail(Code::kUsage, flags.machine + " is neither a known machine nor a file",
              near.empty() ? "save one with `gantry devices --json`"
                           : "did you mean " + near + "?");
}

// What the flags say of every model.
Result<void> apply(const PlanFlags& flags, Wish* wish) {
  if (flags.context > 0) wish->context = flags.context;
  if (flags.parallel > 0) wish->parallel = flags.parallel;
  if (flags.no_stream || !flags.preset.empty()) {
    if (flags.no_stream && !flags.preset.empty()) {
      return fail(Code::kUsage, "--no-stream and --preset contradict each other",
                  "give one of them");
    }
    Result<StreamWish> stream = parse_stream_wish(flags.no_stream ? "off" : flags.preset);
    if (!stream) return fail(stream.error());
    wish->stream = *stream;
  }
  for (const auto& [text, type] :
       {std::pair{&flags.cache_k, &wish->cache_k}, {&flags.cache_v, &wish->cache_v}}) {
    if (text->empty()) continue;
    Result<CacheType> parsed = parse_cache_type(*text);
    if (!parsed) return fail(parsed.error());
    *type = *parsed;
  }
  if (!flags.cap.empty()) {
    Result<Budget> cap = parse_budget(flags.cap);
    if (!cap) return fail(cap.error());
    wish->cap = *cap;
  }
  DemandConfig words;
  words.allow = flags.allow;
  words.shortage = flags.shortage;
  Wish meant = *wish;
  if (Result<void> set = set_demand(words, &meant); !set) return set;
  if (!flags.allow.empty()) wish->levers = meant.levers;
  if (!flags.shortage.empty()) {
    wish->shortage.clear();
    for (const std::string& word : flags.shortage) {
      wish->shortage.push_back(parse_shortage(word).value());
    }
  }
  return {};
}

// A file, a model of the configuration, or one of the catalogue that needs no download.
Result<Wish> wish_of(const CliContext& context, Roster& roster, const std::string& model) {
  const bool file = model.find('/') != std::string::npos || context.os.stat(model).has_value();
  Result<Wish> wish = roster.wish(file ? absolute_path(model) : model, true);
  if (wish || wish.error().code != Code::kNotFound || file) return wish;
  Result<Wish> known = catalogue_wish(model);
  return known || is_catalogue_name(model) ? known : wish;
}

// The household's names are those of the command line.
class Names {
 public:
  void add(const std::string& said, const std::string& meant) { names_[said] = meant; }

  Result<std::string> find(const std::string& flag, const std::string& said) const {
    const auto found = names_.find(said);
    if (found != names_.end()) return found->second;
    return fail(Code::kUsage, flag + " names " + said + ", which is not among the models");
  }

  // "A,B" -> names.
  Result<std::vector<std::string>> list(const std::string& flag, const std::string& text) const {
    std::vector<std::string> out;
    size_t at = 0;
    while (at <= text.size()) {
      const size_t comma = std::min(text.find(',', at), text.size());
      Result<std::string> name = find(flag, text.substr(at, comma - at));
      if (!name) return fail(name.error());
      out.push_back(std::move(*name));
      at = comma + 1;
    }
    return out;
  }

 private:
  std::map<std::string, std::string> names_;
};

Result<void> add_sets(const PlanFlags& flags, const Names& names, Demand* demand) {
  for (const auto& [texts, flag, sets] :
       {std::tuple{&flags.together, "--together", &demand->together},
        std::tuple{&flags.apart, "--apart", &demand->apart}}) {
    for (const std::string& text : *texts) {
      Result<std::vector<std::string>> list = names.list(flag, text);
      if (!list) return fail(list.error());
      sets->push_back(std::move(*list));
    }
  }
  for (const std::string& text : flags.stay) {
    Result<std::vector<std::string>> list = names.list("--stay", text);
    if (!list) return fail(list.error());
    demand->stay.insert(demand->stay.end(), list->begin(), list->end());
  }
  return {};
}

// MODEL=VALUE of one model.
Result<void> set_models(const PlanFlags& flags, const Names& names, Demand* demand) {
  const auto each = [&](const std::vector<std::string>& pairs, const std::string& flag,
                        const auto& set) -> Result<void> {
    for (const std::string& pair : pairs) {
      const size_t cut = pair.rfind('=');
      if (cut == std::string::npos) {
        return fail(Code::kUsage, flag + " wants MODEL=VALUE, not " + pair);
      }
      Result<std::string> name = names.find(flag, pair.substr(0, cut));
      if (!name) return fail(name.error());
      Wish& wish = *std::ranges::find(demand->wishes, *name, &Wish::name);
      if (!set(&wish, pair.substr(cut + 1))) {
        return fail(Code::kUsage, flag + " " + pair + ": no number");
      }
    }
    return {};
  };
  Result<void> done = each(flags.devices, "--device", [](Wish* wish, const std::string& value) {
    wish->device = value;
    return true;
  });
  if (!done) return done;
  return each(flags.priorities, "--priority", [](Wish* wish, const std::string& value) {
    return CLI::detail::lexical_cast(value, wish->priority);
  });
}

// Nobody to ask about a machine that is not this one, now.
bool asks_engine(const PlanFlags& flags) {
  return !flags.no_probe && (flags.machine.empty() || flags.machine == "local");
}

Result<std::unique_ptr<EngineAnswers>> engine_of(const CliContext& context, const Machine& machine,
                                                 const Clock& clock) {
  Result<std::string> state = state_directory(context.os, context.state_dir);
  if (!state) return fail(state.error());
  // Where it cannot be made nothing is kept; that is no reason to fail.
  const bool kept = context.os.make_dirs(*state, 0700).has_value();
  const std::string worker = sibling_program(context.os, "gantry-worker");
  return std::make_unique<EngineAnswers>(EngineAnswersOptions{
      &context.os, &clock, engine_probe(context.os, worker, GANTRY_ENGINE_DIR, *state),
      kept ? join_path(*state, kAnswersFile) : "",
      engine_identity(context.os, worker, GANTRY_ENGINE_DIR) + machine.cpu.model});
}

// Of one of several models the one that its mode takes, or the best where none fits.
Result<Wish> choice_wish(const Machine& machine, const Demand& budgets, Roster& roster,
                         const ModelConfig& choice, std::vector<ChoicePlan>* choices) {
  const auto alone = [&](const Wish& wish) {
    Demand one = budgets;
    one.wishes = {wish};
    return roster.plan_with_engine(machine, &one);
  };
  Result<ChoicePlan> planned = plan_choice(roster, choice, alone);
  if (!planned) return fail(planned.error());
  const std::string taken = planned->taken(choice.mode);
  choices->push_back(std::move(*planned));
  return roster.wish(taken.empty() ? choice.one_of.front() : taken, true);
}

Result<Demand> demand_of(const CliContext& context, const Config& config, const Machine& machine,
                         Roster& roster, const PlanFlags& flags,
                         std::vector<ChoicePlan>* choices) {
  Demand demand;
  demand.ram = config.ram_budget;
  demand.vram = config.vram_budget;
  const std::string prefer = flags.prefer.empty() ? config.prefer : flags.prefer;
  demand.prefer = prefer == "energy" ? Prefer::kEnergy : Prefer::kSpeed;
  if (!flags.reserve.empty()) {
    Result<Budget> reserve = parse_budget(flags.reserve);
    if (!reserve) return fail(reserve.error());
    demand.reserve = *reserve;
  }
  Names names;
  for (const std::string& model : flags.models) {
    const Result<ModelConfig> known = roster.resolve(model, true);
    const bool choice = known && !known->one_of.empty();
    Result<Wish> wish = choice ? choice_wish(machine, demand, roster, *known, choices)
                               : wish_of(context, roster, model);
    if (!wish) return fail(wish.error());
    if (Result<void> applied = apply(flags, &*wish); !applied) return fail(applied.error());
    names.add(model, wish->name);
    demand.wishes.push_back(std::move(*wish));
  }
  add_groups(config, &demand);
  if (Result<void> added = add_sets(flags, names, &demand); !added) return fail(added.error());
  if (Result<void> set = set_models(flags, names, &demand); !set) return fail(set.error());
  return demand;
}

Result<void> show(const CliContext& context, const PlanFlags& flags, const Demand& demand,
                  const Plan& made, const std::vector<Explanation>& reasons,
                  const std::vector<ChoicePlan>& choices, const EngineAnswers::Counts& engine) {
  if (!flags.svg.empty()) {
    Result<void> drawn = context.os.write_file(flags.svg, plan_svg(demand, made), 0644);
    if (!drawn) return drawn;
  }
  if (!context.json) {
    std::string text = plan_text(made) + next_text(reasons);
    for (const ChoicePlan& choice : choices) text += choice_plan_text(choice);
    if (flags.why) text += "\n" + why_text(demand, reasons);
    return print(text);
  }
  nlohmann::json json = plan_json(made);
  for (size_t i = 0; i < reasons.size(); ++i) {
    nlohmann::json reason = explanation_json(reasons[i]);
    if (!flags.why) reason.erase("considered");
    json["models"][i].update(reason);
  }
  for (const ChoicePlan& choice : choices) json["modes"].push_back(choice_plan_json(choice));
  json["engine"] = {
      {"asked", engine.asked}, {"known", engine.known}, {"failed", engine.failed}};
  return print(json.dump(2) + "\n");
}

// Exit status 3 when it does not fit; the plan is printed all the same.
Result<int> make_plan(const CliContext& context, const PlanFlags& flags) {
  if (flags.models.empty()) {
    return fail(Code::kUsage, "no model to plan for", "name one, or ask for --history");
  }
  Result<Config> config = context.read_config();
  if (!config) return fail(config.error());
  Result<Machine> machine = machine_of(context, *config, flags);
  if (!machine) return fail(machine.error());
  // The flag takes the place of what the configuration leaves to others.
  if (flags.reserve.empty()) *machine = without_reserve(std::move(*machine), *config);
  const RealClock clock;
  Result<std::unique_ptr<EngineAnswers>> engine = engine_of(context, *machine, clock);
  if (!engine) return fail(engine.error());
  Roster roster({&context.os, &*config, &*machine, nullptr,
                 card_probe(context.os, sibling_program(context.os, "gantry-worker"), ""), nullptr,
                 asks_engine(flags) ? engine->get() : nullptr});
  std::vector<ChoicePlan> choices;
  Result<Demand> demand = demand_of(context, *config, *machine, roster, flags, &choices);
  if (!demand) return fail(demand.error());
  Result<Plan> made = roster.plan_with_engine(*machine, &*demand);
  if (!made) return fail(made.error());
  if (Result<void> checked = verify(*machine, *demand, *made); !checked) {
    return fail(checked.error());
  }
  Result<std::vector<Explanation>> reasons = explain(*machine, *demand, *made);
  if (!reasons) return fail(reasons.error());
  if (Result<void> shown =
          show(context, flags, *demand, *made, *reasons, choices, (*engine)->counts());
      !shown) {
    return fail(shown.error());
  }
  return made->fits ? 0 : exit_code(Code::kDoesNotFit);
}

void add_household(CLI::App* command, PlanFlags& flags) {
  command->add_option("--together", flags.together, "A,B: loaded at once")
      ->allow_extra_args(false);
  command->add_option("--apart", flags.apart, "A,B: never loaded at once")
      ->allow_extra_args(false);
  command->add_option("--stay", flags.stay, "A,B: loaded all the time")
      ->allow_extra_args(false);
  command->add_option("--device", flags.devices, "MODEL=DEVICE: the only one it computes on")
      ->allow_extra_args(false);
  command->add_option("--priority", flags.priorities, "MODEL=N: its seconds weigh N times")
      ->allow_extra_args(false);
  command->add_option("--prefer", flags.prefer, "Make least of time (speed) or joules (energy)")
      ->check(CLI::IsMember({"speed", "energy"}));
  command->add_option("--reserve", flags.reserve, "Of each accelerator, left to others: 1GiB, 10%");
  command->add_option("--cap", flags.cap, "Of each accelerator, the most for one model: 60%, 4GiB");
  command->add_option("--allow", flags.allow,
                      "What may shrink: q8_0, q4_0, context, encoder, batch; gpu-only")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--shortage", flags.shortage,
                      "What to do when memory is short, in order: wait, shrink, cpu, cloud, refuse")
      ->delimiter(',')
      ->allow_extra_args(false);
}

}  // namespace

void add_plan(CLI::App& app, CliContext& context) {
  PlanFlags& flags = context.keep<PlanFlags>();
  CLI::App* command = app.add_subcommand("plan", "Would these models fit, where, and why");
  command->add_option("models", flags.models, "Files or catalogue names");
  command->add_flag("--history", flags.history,
                    "What loads were predicted to need, and did (of one model, or all)");
  command->add_option("--machine", flags.machine,
                      "A machine of the catalogue, or saved by `gantry devices --json`");
  command->add_option("-c,--ctx-size", flags.context, "Context in tokens")
      ->check(CLI::Range(1U, 1U << 28));
  command->add_option("--np,--parallel", flags.parallel, "Sequences at once (-np)")
      ->check(CLI::Range(1, 256));
  command->add_option("--ctk,--cache-type-k", flags.cache_k, "KV cache: f16, q8_0, ... (-ctk)");
  command->add_option("--ctv,--cache-type-v", flags.cache_v, "Likewise of V (-ctv)");
  command->add_option("--preset", flags.preset,
                      "Layers that stay when it streams: auto, light, moderate, balanced, "
                      "aggressive, extreme, or a number");
  command->add_flag("--no-stream", flags.no_stream, "Whole or not at all");
  command->add_flag("--no-probe", flags.no_probe, "Bytes by formula: do not ask the engine");
  add_household(command, flags);
  command->add_flag("--why", flags.why, "All that was considered, and why it was not taken");
  command->add_option("--svg", flags.svg, "Draw a bar per device into this file");
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer("Examples:\n  gantry plan micro-asr micro-minutes --ram-budget 100MiB\n"
                  "  gantry plan llama3:8b@Q4_K_M whisper:large-v3 --machine rx6900xt-16g --why\n"
                  "Exit status 3 when it does not fit.");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] {
      if (flags.history) return context.finish(show_history(context, flags.models));
      Result<int> status = make_plan(context, flags);
      return status ? *status : context.finish(fail(status.error()));
    };
  });
}

}  // namespace gantry
