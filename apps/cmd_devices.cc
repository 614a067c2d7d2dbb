// devices: what this machine has and what can be used of it; no daemon needed.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/context.h"

namespace gantry {

namespace {

struct DeviceFlags final : Flags {
  bool bench = false;
};

std::string memory_line(const Memory& memory) {
  std::string out = fmt::format("{} RAM, {} usable now", format_bytes(memory.total),
                                format_bytes(memory.usable()));
  if (memory.cgroup_limit) out += ", limited to " + format_bytes(*memory.cgroup_limit);
  return out;
}

std::string text_of(const Machine& machine) {
  std::string out;
  for (const Device& device : machine.devices) {
    out += fmt::format("{:<6} {}\n", device.name, device.verdict);
    if (device.kind == DeviceKind::kCpu) continue;
    std::string what = device.description;
    if (!device.backend.empty()) what += ", by " + device.backend;
    if (!device.bus.empty()) what += ", at " + device.bus;
    out += fmt::format("{:<6} {}\n", "", what);
  }
  out += fmt::format("{:<6} {}\n", "memory", memory_line(machine.memory));
  return out + fmt::format("{:<6} {}\n", "disk", machine.disk.verdict);
}

// Everything is printed whatever state it is in; an accelerator that cannot be used is an error
// besides.
Result<void> show(const CliContext& context, const DeviceFlags& flags) {
  Result<Config> config = context.read_config();
  if (!config) return fail(config.error());
  Result<AuditOptions> options = context.audit_options(*config);
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
  Result<void> shown =
      print(context.json ? machine_json(*machine).dump(2) + "\n" : text_of(*machine));
  if (!shown) return shown;
  const std::vector<std::string> found = troubles(*machine);
  if (found.empty()) return {};
  return fail(Code::kUnavailable, fmt::format("{}", fmt::join(found, "; ")),
              "models run on the other devices; docs/cli.md says what can be done");
}

}  // namespace

void add_devices(CLI::App& app, CliContext& context) {
  DeviceFlags& flags = context.keep<DeviceFlags>();
  CLI::App* command = app.add_subcommand("devices", "What this machine has, one line each");
  command->add_flag("--bench", flags.bench,
                    "Measure memory, disk and each device's rates, and keep them");
  command->add_flag("--json", context.json, "Machine-readable, with every fact");
  command->footer(
      "Examples:\n"
      "  gantry devices                        a line for each device\n"
      "  gantry devices --bench                measure bandwidths first, and keep them\n"
      "  gantry devices --json > machine.json  for `gantry plan --machine machine.json`\n"
      "  gantry devices > /dev/null || echo 'a card is not usable'\n"
      "Exit status 0 when all that is there can be used, 4 when a card or an NPU cannot.");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(show(context, flags)); };
  });
}

}  // namespace gantry
