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
constexpr size_t kHoldersMax = 32;
constexpr size_t kNumaNodesMax = 64;
constexpr Bytes kDeviceBytesMax{1ULL << 50};  // more is no device's memory but a driver's mistake

// "0-3,8" -> 0 1 2 3 8; what is malformed or over kCpusMax is left out.
std::vector<int> parse_cpu_list(std::string_view text);
std::string format_cpu_list(const std::vector<int>& cpus);

// A small file of /proc or /sys, empty when it cannot be read; blanks at the end removed.
std::string read_fact(Os& os, const std::string& path);
std::optional<uint64_t> read_number(Os& os, const std::string& path);
// Names that others chose, for terminals and JSON: printable ASCII, the rest becomes '?'.
std::string printable(std::string text, size_t most);
std::optional<uint64_t> read_hex(Os& os, const std::string& path);  // "0x1002"

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

// The nodes of a machine with several; empty where there is one.
std::vector<NumaNode> read_numa(Os& os);

// An accelerator as the kernel sees it on the PCI bus, whatever drives it.
struct KernelDevice {
  Device facts;        // without name and backend
  uint32_t vendor = 0;
  std::string driver;  // "amdgpu", "nvidia", "vfio-pci"; empty: none is bound
  Bytes npu_used;      // of the host's memory, by all processes together
};
std::vector<KernelDevice> read_kernel_devices(Os& os);

// Who holds device memory, by the kernel's DRM statistics of each open file. What other users hold
// shows only to root.
void read_holders(Os& os, std::vector<KernelDevice>* devices);
// Of equal processes one; the largest first, at most kHoldersMax; names from /proc where missing.
void tidy_holders(Os& os, std::vector<Holder>* holders);

// What `gantry-worker probe` answered, part by part; a part that did not come is absent.
struct Probed {
  std::optional<std::vector<Device>> nvidia;    // NVML's, in its order; empty: no such driver
  std::string nvidia_trouble;                   // why NVML does not work
  std::optional<std::vector<Device>> engines;   // ggml's accelerators
  std::string backends;                         // what ggml loaded: "CPU, CUDA"
  std::optional<std::vector<Device>> openvino;  // its NPUs
  std::string fault;                            // why the answer is not whole
};
Probed probe(Os& os, const std::string& worker_exe, Millis part_max);

// One device for each accelerator, named; those that an engine drives come first.
std::vector<Device> join_devices(const Probed& probed, std::vector<KernelDevice> kernel);

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
void write_verdicts(Machine* machine);

}  // namespace gantry
