// The audit: facts put together.
#include "audit/facts.h"

namespace gantry {

namespace {

Device host_device(Os& os, const Machine& machine) {
  Device host;
  host.name = "cpu";
  host.backend = "CPU";
  host.description = machine.cpu.model;
  host.total = machine.memory.total;
  host.free = machine.memory.usable();
  host.temperature_c = read_cpu_temperature(os);
  // Intel's and AMD's processors alike; since kernel 5.10 root alone may read it.
  host.energy_counter = read_number(os, "/sys/class/powercap/intel-rapl:0/energy_uj").has_value();
  return host;
}

// The kernel's figures come first: once the probe has asked, its own contexts hold memory.
void add_accelerators(Os& os, const AuditOptions& options, Machine* machine) {
  std::vector<KernelDevice> kernel = read_kernel_devices(os);
  read_holders(os, &kernel);
  const Probed probed = probe(os, options.worker_exe, options.probe_max);
  if (!probed.fault.empty()) {
    machine->note = (probed.engines ? "NPUs unknown: " : "accelerators unknown: ") + probed.fault;
  }
  for (Device& device : join_devices(probed, std::move(kernel))) {
    tidy_holders(os, &device.holders);
    machine->devices.push_back(std::move(device));
  }
}

}  // namespace

Result<Machine> audit(Os& os, const AuditOptions& options) {
  Machine machine;
  machine.id = "local";
  auto cpu = read_cpu(os);
  if (!cpu) return fail(cpu.error());
  auto memory = read_memory(os);
  if (!memory) return fail(memory.error());
  machine.cpu = std::move(*cpu);
  machine.cpu.numa = read_numa(os);
  machine.memory = *memory;
  machine.devices.push_back(host_device(os, machine));
  if (!options.worker_exe.empty()) add_accelerators(os, options, &machine);
  machine.disk.path = options.models_dir;
  if (!options.models_dir.empty()) {
    machine.disk.free = os.free_space(options.models_dir).value_or(Bytes{});
  }
  if (!options.bench_file.empty()) merge_bench(os, options.bench_file, &machine);
  write_verdicts(&machine);
  return machine;
}

}  // namespace gantry
