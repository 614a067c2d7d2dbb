// gantryd: the daemon.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "apps/daemon.h"
#include "base/out_of_memory.h"

namespace {

// Before the static objects of the program, for CLI11's allocate.
[[gnu::constructor(101)]] void first() { gantry::exit_when_out_of_memory(); }

int run(int argc, char** argv) {
  gantry::Interrupt interrupt;
  const std::unique_ptr<gantry::Os> os = gantry::make_real_os();
  gantry::DaemonFlags flags;
  CLI::App app("Gantry's daemon: queue, leases, workers and the HTTP API.", "gantryd");
  app.set_version_flag("--version", "gantryd " GANTRY_VERSION);
  app.add_option("--state-dir", flags.state_dir, "Where queue and results live");
  app.add_option("--listen", flags.listen, "HOST:PORT (default 127.0.0.1:8484)");
  app.add_option("--config", flags.config, "Configuration file");
  app.add_option("--ram-budget", flags.ram_budget, "Memory of all workers together: 4GiB, 50%");
  app.add_option("--vram-budget", flags.vram_budget, "Likewise on each accelerator");
  app.add_flag("--shared", flags.shared, "Leave when clients and queue are gone");
  app.footer("Example:\n  gantryd --listen 127.0.0.1:8484 --ram-budget 4GiB\n"
             "An address off loopback needs an API key in GANTRY_API_KEY or api_key_file.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    std::fprintf(stderr, "gantry: %s (see gantryd --help)\n", e.what());
    return gantry::exit_code(gantry::Code::kUsage);
  }
  const gantry::Result<void> ran = gantry::run_daemon(*os, interrupt, flags);
  if (ran) return 0;
  std::fprintf(stderr, "gantry: %s\n", gantry::describe(ran.error()).c_str());
  return gantry::exit_code(ran.error().code);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {  // a thread that cannot be started
    std::fprintf(stderr, "gantry: cannot go on: %s\n", e.what());
    return gantry::exit_code(gantry::Code::kUnavailable);
  }
}
