// inspect, config: questions about files; no daemon needed.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "config/config.h"
#include "model/card.h"

namespace gantry {

namespace {

struct InspectFlags final : Flags {
  std::string file;
};

struct ConfigFlags final : Flags {
  std::string file;
};

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

}  // namespace

void add_machine_commands(CLI::App& app, CliContext& context) {
  InspectFlags& inspected = context.keep<InspectFlags>();
  CLI::App* command =
      app.add_subcommand("inspect", "The facts of a model file: layers, bytes, KV cache");
  command->add_option("file", inspected.file, "GGUF or whisper ggml file")->required();
  command->add_flag("--json", context.json, "Machine-readable");
  command->callback([&context, &inspected] {
    context.work = [&context, &inspected] { return context.finish(inspect(context, inspected)); };
  });

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
