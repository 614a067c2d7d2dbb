// What every subcommand of `gantry` gets: the machine, the common flags, and where output goes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/daemon_link.h"
#include "apps/interrupt.h"
#include "audit/machine.h"
#include "base/os.h"
#include "config/config.h"

namespace gantry {

// Flags of one subcommand, alive as long as the parser that fills them.
struct Flags {
  virtual ~Flags() = default;
};

struct CliContext {
  Os& os;
  const Interrupt& interrupt;
  // Common flags.
  std::string state_dir, host, config, ram_budget, vram_budget;
  bool json = false;
  // The chosen subcommand's work, set while parsing and run afterwards. Returns the exit status.
  std::function<int()> work;

  template <class T>
  T& keep() {
    flags.push_back(std::make_unique<T>());
    return static_cast<T&>(*flags.back());
  }
  std::vector<std::unique_ptr<Flags>> flags;

  // Reports what went wrong, if anything, and gives the exit status: 128 + signal when the user
  // interrupted.
  int finish(const Result<void>& done) const;

  // The configuration with the common flags over it, and what it says of this machine's audit.
  [[nodiscard]] Result<Config> read_config() const;
  [[nodiscard]] Result<AuditOptions> audit_options(const Config& settings) const;
  // The audit of this machine under that configuration.
  [[nodiscard]] Result<Machine> audited(const Config& settings) const;
  [[nodiscard]] Result<LinkOptions> link_options() const;
  [[nodiscard]] Result<DaemonLink> open_link() const;
  [[nodiscard]] Result<DaemonLink> join_link() const;
};

// Prints `gantry: CAUSE (REMEDY)` to stderr and gives the exit status of its code.
int report(const Error& error);

// Writes to stdout; kIo when the reader went away.
[[nodiscard]] Result<void> print(std::string_view text);

void add_devices(CLI::App& app, CliContext& context);           // devices
void add_machine_commands(CLI::App& app, CliContext& context);  // inspect config
void add_plan(CLI::App& app, CliContext& context);              // plan
void add_model_commands(CLI::App& app, CliContext& context);    // run transcribe ...
void add_compare(CLI::App& app, CliContext& context);           // compare
void add_voice_commands(CLI::App& app, CliContext& context);    // speak diarize talk
void add_submit(CLI::App& app, CliContext& context);
void add_with_device(CLI::App& app, CliContext& context);
void add_queue_commands(CLI::App& app, CliContext& context);    // jobs show watch ...
void add_backup_commands(CLI::App& app, CliContext& context);   // backup restore export
void add_daemon_commands(CLI::App& app, CliContext& context);   // serve stop ps load unload
void add_mode(CLI::App& app, CliContext& context);              // mode
void add_synth(CLI::App& app, CliContext& context);             // synth
void add_convert(CLI::App& app, CliContext& context);           // convert
void add_bench(CLI::App& app, CliContext& context);             // bench
void add_trace(CLI::App& app, CliContext& context);             // trace
void add_advise(CLI::App& app, CliContext& context);            // advise catalogue
void add_doctor(CLI::App& app, CliContext& context);            // doctor
void add_npu_worker(CLI::App& app, CliContext& context);        // npu-worker
void add_completion(CLI::App& app, CliContext& context);        // completion bash|zsh|fish

}  // namespace gantry
