// plan(): Machine + Demand -> Plan. Pure: no file, no clock, no process. verify() re-checks every
// plan with its own arithmetic, so that a mistake here cannot reach a device.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "audit/machine.h"
#include "base/bytes.h"
#include "model/card.h"

namespace gantry {

enum class EngineKind { kLlama, kWhisper, kCommand, kMedia };

// One model as the user wants it.
struct Wish {
  std::string name;
  EngineKind engine = EngineKind::kLlama;
  std::optional<ModelCard> card;    // absent for kMedia and kCommand
  std::optional<ModelCard> mmproj;  // the vision encoder beside it
  uint32_t context = 0;             // tokens per sequence; 0: min(trained, 4096)
  uint32_t parallel = 1;            // sequences at once
  CacheType cache_k = CacheType::kF16;
  CacheType cache_v = CacheType::kF16;
  uint32_t ubatch = 512;
  bool flash_attention = false;
  std::optional<Bytes> declared;    // the user's own figure for an external command
  // Overhead of one worker process of this engine as measured on this machine; absent: the
  // built-in figure.
  std::optional<Bytes> measured_overhead;
};

struct Demand {
  std::vector<Wish> wishes;
  std::optional<Budget> vram;  // per accelerator; absent: what is free
  std::optional<Budget> ram;   // for all workers together; absent: what is usable
};

// Bytes of one model on one device, by kind.
struct Need {
  std::string device;
  Bytes weights;
  Bytes kv;
  Bytes compute;
  Bytes overhead;  // process, libraries, runtime context
  Bytes total() const { return weights + kv + compute + overhead; }
};

struct Layers {
  uint32_t resident = 0;  // on an accelerator
  uint32_t streamed = 0;
  uint32_t cpu = 0;
};

struct Placement {
  std::string name;
  EngineKind engine = EngineKind::kLlama;
  uint32_t context = 0;  // as planned
  Layers layers;
  std::vector<Need> needs;  // one a device used; "cpu" stands for host memory
  bool fits_alone = false;
  std::string why;  // one line for a person
  Bytes on(std::string_view device) const;
};

// A change that would make the wish fit, smallest first.
struct Fix {
  std::string change;  // "-c 2048", "--ram-budget 310MiB", "-ctk q8_0 -ctv q8_0"
  Bytes saves;
};

struct DeviceShare {
  std::string name;
  Bytes weights, kv, compute, overhead;  // of all models together
  Bytes total;                           // together
  Bytes peak;                            // largest single model: what "in turn" needs
  Bytes budget;
};

struct Plan {
  bool fits = false;      // every model fits at least alone
  bool together = false;  // all fit at once
  std::vector<DeviceShare> devices;
  std::vector<Placement> models;
  std::vector<Fix> fixes;  // empty when it fits
};

// kUsage for zero budgets, unknown contexts or over kModelsMax wishes; a plan that does not fit
// is a Plan with fits = false, not an error.
[[nodiscard]] Result<Plan> plan(const Machine& machine, const Demand& demand);
[[nodiscard]] Result<void> verify(const Machine& machine, const Demand& demand, const Plan& plan);

nlohmann::json plan_json(const Plan& plan);  // `gantry plan --json`
std::string plan_text(const Plan& plan);     // a table, and why

}  // namespace gantry
