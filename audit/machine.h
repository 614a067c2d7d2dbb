// Machine: what the audit found, as a plain value that can be saved, loaded and planned against.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/os.h"

namespace gantry {

enum class DeviceKind { kCpu, kGpu, kIntegratedGpu, kNpu, kOther };

// Measured, never assumed: absent until `gantry devices --bench` (or a probe) filled it in.
struct Bandwidth {
  std::optional<double> memory_bytes_per_s;     // reading own memory, all cores
  std::optional<double> host_copy_bytes_per_s;  // host to device
};

struct Device {
  std::string name;         // "cpu", "gpu0", "npu0": what users and plans call it
  std::string backend;      // the engine's name for it: "CPU", "CUDA0", "Vulkan0"
  std::string description;  // "NVIDIA GeForce RTX 3060"
  DeviceKind kind = DeviceKind::kCpu;
  Bytes total;
  Bytes free;
  std::optional<double> temperature_c;
  Bandwidth bandwidth;
  std::string verdict;  // one line for a person
};

struct Cpu {
  std::string model;
  uint32_t threads = 0;            // usable by this process (affinity, cgroup quota)
  std::vector<int> p_cores;        // logical CPUs of performance cores; all when not hybrid
  std::vector<int> e_cores;        // logical CPUs of efficiency cores
  std::vector<std::string> features;  // "avx2", "avx512f", ...: what engines care about
};

struct Memory {
  Bytes total;
  Bytes available;
  std::optional<Bytes> cgroup_limit;  // the lowest limit above this process, where there is one
  Bytes usable() const;               // the smaller of available and what the cgroup leaves
};

struct Disk {
  std::string path;  // the model folder
  Bytes total;
  Bytes free;
  std::optional<double> read_bytes_per_s;  // direct reads, measured
  std::string verdict;
};

struct Machine {
  std::string id;  // "local", or the name of a recorded machine
  Cpu cpu;
  Memory memory;
  std::vector<Device> devices;  // the CPU first, then accelerators
  Disk disk;
};

struct AuditOptions {
  std::string models_dir;
  std::string worker_exe;  // gantry-worker: asked for ggml's devices; empty: no probe
  std::string bench_file;  // where measured bandwidths are kept; empty: nowhere
};

// Never fails for a missing optional fact; fails when /proc itself cannot be read.
[[nodiscard]] Result<Machine> audit(Os& os, const AuditOptions& options);

// Measures memory and direct disk-read bandwidth (about 2 s) and keeps them in bench_file.
[[nodiscard]] Result<void> bench(Os& os, const AuditOptions& options, Machine* machine);

nlohmann::json machine_json(const Machine& machine);  // `gantry devices --json`
[[nodiscard]] Result<Machine> parse_machine(std::string_view json);

}  // namespace gantry
