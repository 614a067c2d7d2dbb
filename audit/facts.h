// The parts of an audit: each reads one kind of fact through the seam.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/machine.h"

namespace gantry {

// Limits of what is read from the system or a file.
constexpr Bytes kProcFileMax = MiB(4);
constexpr Bytes kMachineFileMax = MiB(1);
constexpr size_t kDevicesMax = 64;
constexpr int kCpusMax = 4096;

// "0-3,8" -> 0 1 2 3 8; what is malformed or over kCpusMax is left out.
std::vector<int> parse_cpu_list(std::string_view text);
std::string format_cpu_list(const std::vector<int>& cpus);

// A small file of /proc or /sys, empty when it cannot be read; blanks at the end removed.
std::string read_fact(Os& os, const std::string& path);
std::optional<uint64_t> read_number(Os& os, const std::string& path);

// The folders of a control group controller that govern this process, innermost first:
// cgroup v2 and v1, as mounted under /sys/fs/cgroup.
struct CgroupDirs {
  std::vector<std::string> v2;
  std::vector<std::string> v1;
};
CgroupDirs cgroup_dirs(Os& os, std::string_view controller);

[[nodiscard]] Result<Cpu> read_cpu(Os& os);
[[nodiscard]] Result<Memory> read_memory(Os& os);
std::optional<double> read_cpu_temperature(Os& os);

// Accelerators as ggml sees them; asked in another process, with a time limit.
[[nodiscard]] Result<std::vector<Device>> probe_accelerators(Os& os, const std::string& worker_exe);

// Measured figures, kept between runs for each machine and valid for the one they were measured on.
std::string machine_mark(const Machine& machine);  // changes when the hardware does
[[nodiscard]] Result<void> save_bench(Os& os, const std::string& file, const Machine& machine);
// Why nothing was taken, for a person; empty: something was, or nothing was ever measured here.
std::string merge_bench(Os& os, const std::string& file, Machine* machine);

// Fills in rates, step and copy bandwidths, all or none of them.
[[nodiscard]] Result<void> calibrate_device(Os& os, const Machine& machine,
                                            const std::string& worker_exe,
                                            const BenchHooks& hooks, Device* device);

// Lines for a person; written last, when all facts are in.
void write_verdicts(Machine* machine, const std::string& probe_note);

}  // namespace gantry
