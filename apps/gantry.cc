// gantry: the command line.
#include <algorithm>

#include "apps/context.h"
#include "apps/flags.h"

namespace {

void add_common_flags(CLI::App& app, gantry::CliContext& context) {
  app.add_option("--state-dir", context.state_dir, "Where queue and results live")
      ->type_name("DIR");
  app.add_option("--host", context.host, "The daemon's address (default 127.0.0.1:8484)")
      ->type_name("HOST:PORT");
  app.add_option("--config", context.config, "Configuration file")->type_name("FILE");
  app.add_option("--ram-budget", context.ram_budget,
                 "Memory that all workers together may use: 4GiB, 50%")
      ->type_name("SIZE");
  app.add_option("--vram-budget", context.vram_budget, "Likewise on each accelerator")
      ->type_name("SIZE");
}

}  // namespace

int main(int argc, char** argv) {
  const gantry::Interrupt interrupt;
  const std::unique_ptr<gantry::Os> os = gantry::make_real_os();
  gantry::CliContext context{*os, interrupt};

  CLI::App app("Gantry runs several local models under one memory budget.", "gantry");
  app.set_version_flag("--version", "gantry " GANTRY_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // common flags may stand after the subcommand too
  app.footer(
      "Examples:\n"
      "  gantry devices                          what this machine has\n"
      "  gantry plan model.gguf -c 8192          would it fit, and where\n"
      "  gantry run micro-minutes -p 'Hello.'    ask a model\n"
      "  gantry minutes talk.m4a > minutes.md    minutes of a recording\n"
      "Exit status: 0 done, 1 failed, 2 wrong usage, 3 does not fit, 4 device or worker\n"
      "unavailable, 128 + signal when interrupted. The daemon starts by itself when needed.");
  add_common_flags(app, context);
  gantry::add_devices(app, context);
  gantry::add_machine_commands(app, context);
  gantry::add_plan(app, context);
  gantry::add_model_commands(app, context);
  gantry::add_compare(app, context);
  gantry::add_voice_commands(app, context);
  gantry::add_submit(app, context);
  gantry::add_queue_commands(app, context);
  gantry::add_backup_commands(app, context);
  gantry::add_with_device(app, context);
  gantry::add_daemon_commands(app, context);
  gantry::add_mode(app, context);
  gantry::add_synth(app, context);
  gantry::add_convert(app, context);
  gantry::add_bench(app, context);
  gantry::add_trace(app, context);
  gantry::add_advise(app, context);
  gantry::add_doctor(app, context);
  gantry::add_npu_worker(app, context);
  gantry::add_completion(app, context);
  try {
    std::vector<std::string> args = gantry::normalized_flags(argc, argv);
    std::ranges::reverse(args);  // as CLI11 wants them
    app.parse(std::move(args));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    return gantry::report({gantry::Code::kUsage, e.what(), "see gantry --help"});
  }
  return context.work();
}
