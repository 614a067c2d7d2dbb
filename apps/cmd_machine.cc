// devices, inspect, plan, config: questions about this machine and its models; no daemon needed.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/paths.h"
#include "audit/machine.h"
#include "config/config.h"
#include "model/card.h"
#include "foreman/roster.h"
#include "plan/plan.h"

namespace gantry {

namespace {

struct DeviceFlags final : Flags {
  bool bench = false;
};

struct InspectFlags final : Flags {
  std::string file;
};

struct PlanFlags final : Flags {
  std::vector<std::string> models;
  std::string machine, cache_k, cache_v, preset;
  bool no_stream = false;
  uint32_t context = 0;
  uint32_t parallel = 0;
};

struct ConfigFlags final : Flags {
  std::string file;
};

Result<Config> config_of(const CliContext& context) {
  std::map<std::string, std::string> flags;
  if (!context.ram_budget.empty()) flags["ram_budget"] = context.ram_budget;
  if (!context.vram_budget.empty()) flags["vram_budget"] = context.vram_budget;
  return load_config(context.os, context.config, flags);
}

Result<AuditOptions> audit_options(const CliContext& context, const Config& config) {
  Result<std::string> state = state_directory(context.os, context.state_dir);
  if (!state) return fail(state.error());
  return AuditOptions{config.models_dir, sibling_program(context.os, "gantry-worker"),
                      join_path(*state, "bench.json")};
}

std::string memory_line(const Memory& memory) {
  std::string out = fmt::format("{} RAM, {} usable now", format_bytes(memory.total),
                                format_bytes(memory.usable()));
  if (memory.cgroup_limit) out += ", limited to " + format_bytes(*memory.cgroup_limit);
  return out;
}

Result<void> devices(const CliContext& context, const DeviceFlags& flags) {
  Result<Config> config = config_of(context);
  if (!config) return fail(config.error());
  Result<AuditOptions> options = audit_options(context, *config);
  if (!options) return fail(options.error());
  Result<Machine> machine = audit(context.os, *options);
  if (!machine) return fail(machine.error());
  if (flags.bench) {
    Result<void> made = context.os.make_dirs(dir_name(options->bench_file), 0700);
    if (!made) return made;
    const BenchHooks hooks = {[](const std::string& line) {
                                std::fprintf(stderr, "%s\n", line.c_str());
                              },
                              &context.interrupt.flag()};
    if (Result<void> done = bench(context.os, *options, &*machine, hooks); !done) return done;
  }
  if (context.json) return print(machine_json(*machine).dump(2) + "\n");
  std::string out;
  for (const Device& device : machine->devices) {
    out += fmt::format("{:<6} {}\n", device.name, device.verdict);
  }
  out += fmt::format("{:<6} {}\n", "memory", memory_line(machine->memory));
  return print(out + fmt::format("{:<6} {}\n", "disk", machine->disk.verdict));
}

Result<void> inspect(const CliContext& context, const InspectFlags& flags) {
  Result<std::unique_ptr<MappedFile>> file = context.os.map_file(flags.file);
  if (!file) return fail(file.error());
  Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) {
    return fail(card.error().code, flags.file + ": " + card.error().message, card.error().remedy);
  }
  if (context.json) return print(card_json(*card).dump(2) + "\n");
  return print(card_text(*card));
}

Result<Machine> machine_of(const CliContext& context, const Config& config,
                           const PlanFlags& flags) {
  if (flags.machine.empty() || flags.machine == "local") {
    Result<AuditOptions> options = audit_options(context, config);
    if (!options) return fail(options.error());
    return audit(context.os, *options);
  }
  Result<std::string> text = context.os.read_file(flags.machine, MiB(1));
  if (!text) return fail(text.error());
  return parse_machine(*text);
}

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
  return {};
}

// Exit status 3 when it does not fit; the plan is printed all the same.
Result<int> make_plan(const CliContext& context, const PlanFlags& flags) {
  Result<Config> config = config_of(context);
  if (!config) return fail(config.error());
  Result<Machine> machine = machine_of(context, *config, flags);
  if (!machine) return fail(machine.error());
  Demand demand;
  demand.ram = config->ram_budget;
  demand.vram = config->vram_budget;
  Roster roster({&context.os, &*config, &*machine, nullptr,
                 card_probe(context.os, sibling_program(context.os, "gantry-worker"), "")});
  for (const std::string& model : flags.models) {
    const bool file = model.find('/') != std::string::npos || context.os.stat(model).has_value();
    Result<Wish> wish = roster.wish(file ? absolute_path(model) : model, true);
    if (!wish) return fail(wish.error());
    if (Result<void> applied = apply(flags, &*wish); !applied) return fail(applied.error());
    demand.wishes.push_back(std::move(*wish));
  }
  Result<Plan> made = plan(*machine, demand);
  if (!made) return fail(made.error());
  if (Result<void> checked = verify(*machine, demand, *made); !checked) {
    return fail(checked.error());
  }
  Result<void> shown = print(context.json ? plan_json(*made).dump(2) + "\n" : plan_text(*made));
  if (!shown) return fail(shown.error());
  return made->fits ? 0 : exit_code(Code::kDoesNotFit);
}

Result<void> check(const CliContext& context, const ConfigFlags& flags) {
  Result<std::string> text = context.os.read_file(flags.file, kConfigMax);
  if (!text) return fail(text.error());
  Result<std::vector<ConfigWarning>> warnings = check_config(*text, flags.file);
  if (!warnings) return fail(warnings.error());
  std::string out;
  for (const ConfigWarning& warning : *warnings) {
    out += fmt::format("{}: warning: {}\n", warning.where, warning.text);
  }
  return print(out + flags.file + ": ok\n");
}

void add_plan(CLI::App& app, CliContext& context) {
  PlanFlags& flags = context.keep<PlanFlags>();
  CLI::App* command = app.add_subcommand("plan", "Would these models fit, where, and why");
  command->add_option("models", flags.models, "Files or catalogue names")->required();
  command->add_option("--machine", flags.machine, "A machine saved by `gantry devices --json`");
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
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer("Example:\n  gantry plan micro-asr micro-minutes --ram-budget 100MiB\n"
                  "Exit status 3 when it does not fit.");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] {
      Result<int> status = make_plan(context, flags);
      return status ? *status : context.finish(fail(status.error()));
    };
  });
}

}  // namespace

void add_machine_commands(CLI::App& app, CliContext& context) {
  DeviceFlags& device = context.keep<DeviceFlags>();
  CLI::App* command = app.add_subcommand("devices", "What this machine has, one line each");
  command->add_flag("--bench", device.bench,
                    "Measure memory, disk and each device's rates, and keep them");
  command->add_flag("--json", context.json, "Machine-readable");
  command->callback([&context, &device] {
    context.work = [&context, &device] { return context.finish(devices(context, device)); };
  });

  InspectFlags& inspected = context.keep<InspectFlags>();
  command = app.add_subcommand("inspect", "The facts of a model file: layers, bytes, KV cache");
  command->add_option("file", inspected.file, "GGUF or whisper ggml file")->required();
  command->add_flag("--json", context.json, "Machine-readable");
  command->callback([&context, &inspected] {
    context.work = [&context, &inspected] { return context.finish(inspect(context, inspected)); };
  });

  add_plan(app, context);

  CLI::App* config = app.add_subcommand("config", "The configuration file");
  config->require_subcommand(1);
  ConfigFlags& checked = context.keep<ConfigFlags>();
  command = config->add_subcommand("check", "Check a file; names line and column");
  command->add_option("file", checked.file, "YAML file")->required();
  command->callback([&context, &checked] {
    context.work = [&context, &checked] { return context.finish(check(context, checked)); };
  });
  command = config->add_subcommand("schema", "Print the file's JSON schema");
  command->callback([&context] {
    context.work = [&context] { return context.finish(print(config_schema())); };
  });
}

}  // namespace gantry
