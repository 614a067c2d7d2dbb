// Machine: what the audit found, as a plain value that can be saved, loaded and planned against.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/os.h"

namespace gantry {

enum class DeviceKind { kCpu, kGpu, kIntegratedGpu, kNpu, kOther };

// Measured, or a data sheet's for a machine that is not here (Machine::recorded): absent until
// `gantry devices --bench` (or a probe) filled it in.
struct Bandwidth {
  std::optional<double> memory_bytes_per_s;       // reading own memory, all cores
  std::optional<double> host_copy_bytes_per_s;    // host to device, from pinned memory if it can
  std::optional<double> pageable_copy_bytes_per_s;  // host to device, from ordinary memory
};

// How fast matrices of one quantisation are multiplied there, by the engine itself. Other work has
// rates of its own, named as in worker/calibrate.h: "Q4_0/plain" where weights are not rearranged
// (a streamer's), "Q4_0/experts", "attention", "attention/flash", "activations".
struct Rate {
  std::string quantisation;        // "Q4_K", "F16"
  double decode_bytes_per_s = 0;   // of weights, one token at a time
  double prefill_flop_per_s = 0;   // in batches of 512; two operations a weight and token
};

// The bus between host and device, now and at best.
struct PcieLink {
  uint32_t generation = 0, width = 0;
  uint32_t generation_max = 0, width_max = 0;
};

// A process that holds memory of a device.
struct Holder {
  int pid = 0;
  std::string name;
  Bytes bytes;
};

struct Device {
  std::string name;         // "cpu", "gpu0", "npu0": what users and plans call it
  std::string backend;      // the engine's name for it: "CPU", "CUDA0", "Vulkan0"
  std::string description;  // "NVIDIA GeForce RTX 3060"
  DeviceKind kind = DeviceKind::kCpu;
  Bytes total;
  Bytes free;
  std::optional<double> temperature_c;
  std::optional<double> power_w, power_limit_w;
  std::vector<std::string> throttled;  // why it is slower now: "heat", "power"; empty: it is not
  std::string bus;                     // PCI address, "0000:01:00.0"; empty: not known
  std::optional<PcieLink> link;
  int numa_node = -1;                  // -1: not known, or only one
  std::vector<Holder> holders;         // as far as the system tells, the largest first
  bool energy_counter = false;         // joules used so far can be read (RAPL, NVML, hwmon)
  Bandwidth bandwidth;
  std::vector<Rate> rates;             // by quantisation
  std::optional<double> step_s;        // of each operation of a graph, besides what it moves
  std::string trouble;  // why it cannot be used: "driver does not answer"; empty: it can
  std::string verdict;  // one line for a person
};

struct NumaNode {
  int id = 0;
  std::vector<int> cpus;
  Bytes total, free;
};

struct Cpu {
  std::string model;
  uint32_t threads = 0;            // usable by this process (affinity, cgroup quota)
  std::vector<int> p_cores;        // logical CPUs of performance cores; all when not hybrid
  std::vector<int> e_cores;        // logical CPUs of efficiency cores
  std::vector<std::string> features;  // "avx2", "avx512f", ...: what engines care about
  std::vector<NumaNode> numa;         // empty: one node
};

struct Memory {
  Bytes total;
  Bytes available;
  std::optional<Bytes> cgroup_limit;  // of the control group that leaves least, where one limits
  Bytes cgroup_used;                  // in it now, without page cache that gives way
  Bytes usable() const;               // the smaller of available and what the group leaves
};

struct Disk {
  std::string path;  // the model folder
  Bytes free;
  std::optional<double> read_bytes_per_s;  // direct reads, several at once, measured
  std::string verdict;
  std::optional<double> load_bytes_per_s;  // as engines read a model: one thread, page cache cold
};

struct Machine {
  std::string id;  // "local", or the name of a recorded machine
  bool recorded = false;  // not this machine, now: figures may be a data sheet's
  Cpu cpu;
  Memory memory;
  std::vector<Device> devices;  // the CPU first, then accelerators
  Disk disk;
  std::string note;  // what could not be found out, for a person; empty: nothing
};

struct AuditOptions {
  std::string models_dir;
  std::string worker_exe;  // gantry-worker: asked for devices; empty: accelerators are left out
  std::string bench_file;  // where measured bandwidths are kept; empty: nowhere
  Millis probe_max{10'000};  // for each part of the probe's answer; a cold driver takes seconds
};

// Never fails for a missing optional fact, nor for a probe that fails (Machine::note); fails when
// /proc itself cannot be read. Device names are unique, the CPU is first. An accelerator that the
// kernel sees and no engine drives has `trouble`.
[[nodiscard]] Result<Machine> audit(Os& os, const AuditOptions& options);

struct BenchHooks {
  std::function<void(const std::string&)> progress = {};  // one line for a person
  const std::atomic<bool>* cancel = nullptr;              // ends it with kCancelled, nothing kept
};

// Measures memory and disk (4 s) and, where there is a worker_exe, the rates of each device (about
// a minute each), and keeps them in bench_file, from where audit() takes them as long as processor,
// memory and device are the same. What cannot be measured stays absent.
[[nodiscard]] Result<void> bench(Os& os, const AuditOptions& options, Machine* machine,
                                 const BenchHooks& hooks = {});

// Why an accelerator of this machine cannot be used, one line each: cards and NPUs in trouble, a
// probe that failed. Not an integrated GPU in trouble: the CPU computes with the same memory.
std::vector<std::string> troubles(const Machine& machine);

nlohmann::json machine_json(const Machine& machine);  // `gantry devices --json`
// What machine_json() wrote, or a description written by hand. kCorrupt names the field.
[[nodiscard]] Result<Machine> parse_machine(std::string_view json);
std::string_view device_kind_name(DeviceKind kind);  // "cpu", "gpu", "integrated_gpu", ...

}  // namespace gantry
