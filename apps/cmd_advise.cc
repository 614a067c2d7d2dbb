// advise, catalogue: questions about models and machines that need not be here.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/paths.h"
#include "audit/catalogue.h"
#include "config/config.h"
#include "foreman/roster.h"
#include "model/catalogue.h"
#include "plan/advise.h"
#include "plan/catalogue.h"

namespace gantry {

namespace {

struct AdviseFlags final : Flags {
  std::vector<std::string> models;
  std::string machine;
  uint32_t context = 0;
};

struct CatalogueFlags final : Flags {
  bool machines = false;
};

constexpr Bytes kMachineFile = MiB(1);

// This machine, one of the catalogue, or a file.
Result<Machine> machine_of(const CliContext& context, const Config& config,
                           const std::string& name) {
  if (name.empty() || name == "local") return context.audited(config);
  if (std::optional<Machine> known = catalogue_machine(name)) return *known;
  Result<std::string> text = context.os.read_file(name, kMachineFile);
  if (!text && name.find('/') == std::string::npos) {
    return fail(Code::kNotFound, "neither the catalogue nor the disk has a machine " + name,
                "the nearest it has is " + nearest_machine(name));
  }
  if (!text) return fail(text.error());
  return parse_machine(*text);
}

// What is configured or lies on the disk goes before the catalogue.
Result<Wish> wish_of(const CliContext& context, const std::string& model, Roster* roster) {
  const bool file = model.find('/') != std::string::npos || context.os.stat(model).has_value();
  Result<Wish> wish = roster->wish(file ? absolute_path(model) : model, true);
  if (wish || file || wish.error().code != Code::kNotFound) return wish;
  return catalogue_wish(model);
}

// Exit status 3 where nothing known would do.
Result<int> run_advise(const CliContext& context, const AdviseFlags& flags) {
  Result<Config> config = context.read_config();
  if (!config) return fail(config.error());
  Result<Machine> machine = machine_of(context, *config, flags.machine);
  if (!machine) return fail(machine.error());
  Demand demand;
  demand.ram = config->ram_budget;
  demand.vram = config->vram_budget;
  Roster roster({&context.os, &*config, &*machine, nullptr,
                 card_probe(context.os, sibling_program(context.os, "gantry-worker"), "")});
  for (const std::string& model : flags.models) {
    Result<Wish> wish = wish_of(context, model, &roster);
    if (!wish) return fail(wish.error());
    wish->context = flags.context;
    demand.wishes.push_back(std::move(*wish));
  }
  Result<Advice> advice = advise(*machine, demand);
  if (!advice) return fail(advice.error());
  Result<void> shown =
      print(context.json ? advice_json(*advice).dump(2) + "\n" : advice_text(*advice));
  if (!shown) return fail(shown.error());
  return advice->answers.empty() ? exit_code(Code::kDoesNotFit) : 0;
}

Result<void> list_machines(const CliContext& context) {
  nlohmann::json rows = nlohmann::json::array();
  std::string out;
  for (const CatalogueMachine& row : catalogue_machines()) {
    rows.push_back({{"id", row.id},
                    {"about", row.about},
                    {"accelerator_bytes", row.accelerator_memory.n}});
    out += fmt::format("{:<18} {}\n", row.id, row.about);
  }
  return print(context.json ? rows.dump(2) + "\n" : out);
}

Result<void> list_models(const CliContext& context) {
  nlohmann::json rows = nlohmann::json::array();
  std::string out;
  for (const CatalogueEntry& entry : catalogue_entries()) {
    const Result<CatalogueModel> model = catalogue_model(entry.name);
    if (!model) return fail(model.error());
    const Bytes bytes = model->declared ? model->declared->weights : model->card.weight_bytes;
    rows.push_back({{"name", model->name},
                    {"parameters", entry.published},
                    {"weight_bytes", bytes.n},
                    {"about", entry.about}});
    out += fmt::format("{:<28} {:>9}  {:>7.2f} B  {}\n", model->name, format_bytes(bytes),
                       entry.published / 1e9, entry.about);
  }
  return print(context.json ? rows.dump(2) + "\n" : out);
}

}  // namespace

void add_advise(CLI::App& app, CliContext& context) {
  AdviseFlags& flags = context.keep<AdviseFlags>();
  CLI::App* command = app.add_subcommand(
      "advise", "Would another placement, quantisation, model or card do");
  command->add_option("models", flags.models, "Catalogue names or files")->required();
  command->add_option("--machine", flags.machine, "A machine of the catalogue, or a file");
  command->add_option("-c,--ctx-size", flags.context, "Context in tokens")
      ->check(CLI::Range(1U, 1U << 28));
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer("Example:\n  gantry advise llama3:8b whisper:large-v3 --machine rtx3060-12g\n"
                  "Exit status 3 when nothing known would do.");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] {
      Result<int> status = run_advise(context, flags);
      return status ? *status : context.finish(fail(status.error()));
    };
  });

  CatalogueFlags& listed = context.keep<CatalogueFlags>();
  command = app.add_subcommand("catalogue", "Models and machines that plans know without files");
  command->add_flag("--machines", listed.machines, "Machines instead of models");
  command->add_flag("--json", context.json, "Machine-readable");
  command->callback([&context, &listed] {
    context.work = [&context, &listed] {
      return context.finish(listed.machines ? list_machines(context) : list_models(context));
    };
  });
}

}  // namespace gantry
