// The audit: facts put together.
#include "audit/facts.h"

namespace gantry {

Result<Machine> audit(Os& os, const AuditOptions& options) {
  Machine machine;
  machine.id = "local";
  auto cpu = read_cpu(os);
  if (!cpu) return fail(cpu.error());
  auto memory = read_memory(os);
  if (!memory) return fail(memory.error());
  machine.cpu = std::move(*cpu);
  machine.memory = *memory;
  Device host;
  host.name = "cpu";
  host.backend = "CPU";
  host.description = machine.cpu.model;
  host.total = machine.memory.total;
  host.free = machine.memory.usable();
  host.temperature_c = read_cpu_temperature(os);
  machine.devices.push_back(std::move(host));
  std::string note;
  if (!options.worker_exe.empty()) {
    auto found = probe_accelerators(os, options.worker_exe);
    if (found) {
      for (Device& device : *found) machine.devices.push_back(std::move(device));
    } else {
      note = found.error().message;
    }
  }
  machine.disk.path = options.models_dir;
  if (!options.models_dir.empty()) {
    machine.disk.free = os.free_space(options.models_dir).value_or(Bytes{});
  }
  if (!options.bench_file.empty()) merge_bench(os, options.bench_file, &machine);
  write_verdicts(&machine, note);
  return machine;
}

}  // namespace gantry
