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
#include "plan/demand.h"

namespace gantry {

// resident + streamed + cpu are all layers of the model (whisper: encoder and decoder).
struct Layers {
  uint32_t resident = 0;  // on an accelerator: the last ones, with the output matrix; where the
                          // model streams: whole, on the device that computes
  uint32_t streamed = 0;  // with at least one weight that passes through the ring
  uint32_t cpu = 0;
  // llama.cpp counts the output as one layer more. For models that do not stream.
  uint32_t gpu_layers_flag() const { return resident == 0 ? 0 : resident + 1; }
};

// Predicted from measured rates; absent where those are not known.
struct Speed {
  std::optional<double> prefill;  // tokens per second
  std::optional<double> decode;   // of one sequence
  std::optional<double> real_time;  // kWhisper: seconds of work for a second of sound
  std::optional<double> load_s;   // from the file to its first answer, nothing cached
  std::optional<double> joules;   // of one use, where powers are known
};

// Drafted at once where the text so far is searched, and verified in one pass with the token.
constexpr uint32_t kLookupTokens = 8;

// How a model streams, for the plugin that does it.
struct StreamPlan {
  std::string device;       // that computes: "cpu", or an accelerator
  Bytes resident;           // weights that stay on it
  Bytes ring;               // where the others pass through
  Bytes experts;            // the cache of routed experts
  Bytes streamed;           // weights that do not stay
  double per_token = 0;     // bytes that move for one token of one sequence
  Bytes device_budget;      // resident, ring, experts, KV cache and graph: the plugin's ledger
  Bytes host_budget;        // streamed weights kept in host memory beside an accelerator
  std::optional<uint32_t> resident_layers;  // asked for; absent: as many as the budget holds
  bool lookup = false;      // drafting from the text so far is predicted to be faster
};

struct Placement {
  std::string name;
  std::string alternative;  // the one that is meant instead; empty: the model itself
  EngineKind engine = EngineKind::kLlama;
  uint32_t context = 0;  // as planned
  Layers layers;
  std::vector<Split> splits;  // where layers.resident are, in the model's order; one or several
  SplitMode split_mode = SplitMode::kLayer;
  CacheType cache_k = CacheType::kF16, cache_v = CacheType::kF16;
  uint32_t ubatch = 512;
  bool encoder_on_cpu = false;
  bool cloud = false;        // at an endpoint: nothing of it is here
  bool stays = true;         // loaded all the time; false: takes turns with others
  std::vector<std::string> given_up;  // "the KV cache is q8_0 instead of f16"
  std::vector<Need> needs;  // one a device used; "cpu" stands for host memory
  std::vector<Need> formula;  // where `needs` are the engine's own: what the formulas said
  Speed speed;
  bool fits_alone = false;
  std::string why;  // one line for a person
  std::optional<StreamPlan> stream;
  Bytes on(std::string_view device) const;
};

// A change that alone is enough to make every model fit, found by planning again; the one that
// saves least comes first.
struct Fix {
  std::string change;  // "-c 2048", "--ram-budget 310MiB", "-ctk q8_0 -ctv q8_0"
  Bytes saves;         // of the need; of a raised budget: what was missing
};

struct DeviceShare {
  std::string name;
  Bytes weights, kv, compute, overhead;  // of all models together
  Bytes total;                           // together
  Bytes peak;                            // at any time: what stays and the largest turn
  Bytes budget;
};

// What is loaded at one time besides what stays.
struct Turn {
  std::vector<std::string> models;
  std::optional<double> load_s;  // of all of them
};

struct Plan {
  bool fits = false;      // what stays and each turn beside it is within every budget
  bool together = false;  // all are loaded at once
  std::vector<std::string> notes;  // on budgets, for a person
  std::vector<DeviceShare> devices;
  std::vector<Placement> models;
  std::vector<Turn> turns;  // in the order of the wishes, as the stages of a pipeline are named
  std::vector<Fix> fixes;  // empty when it fits
};

// kUsage for zero budgets, no or over kModelsMax wishes, a name given twice, zero parallel or
// ubatch, a missing card; kUnsupported for a cache type that the model cannot have. A plan that
// does not fit is a Plan with fits = false, not an error. Budgets beyond the machine are cut to
// what it has, and the plan says so.
[[nodiscard]] Result<Plan> plan(const Machine& machine, const Demand& demand);
// kInternal, naming the part of the plan that breaks its promise.
[[nodiscard]] Result<void> verify(const Machine& machine, const Demand& demand, const Plan& plan);

nlohmann::json plan_json(const Plan& plan);  // `gantry plan --json`
std::string plan_text(const Plan& plan);     // a table, and why

}  // namespace gantry
