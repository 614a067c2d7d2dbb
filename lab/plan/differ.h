// One configuration of one model, twice: the formula's bytes and those of the engine's own dry run.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/synth.h"
#include "model/synth_companions.h"
#include "plan/plan.h"

namespace gantry {

// Where the programs are, and where files may be written.
struct DifferPaths {
  std::string worker;   // gantry-worker
  std::string phantom;  // libphantom.so
  std::string scratch;
};

struct Configuration {
  uint32_t context = 4096;  // of one sequence
  uint32_t parallel = 1;
  uint32_t ubatch = 512;
  CacheType cache_k = CacheType::kF16, cache_v = CacheType::kF16;
  bool flash = false;
  bool embeddings = false;
  std::vector<uint32_t> gpus;  // layers on each device that is not here, in the model's order
  std::string text() const;    // "-c 4096 -ub 512", for a person
};

// Of one kind on one device.
struct Difference {
  std::string device, kind;  // "gpu0" or "cpu"; "weights", "kv", "compute"
  uint64_t formula = 0, engine = 0;
  double error() const;   // (formula - engine) / engine
  bool within() const;    // 1 % or 2 MiB
};

// What a command prints; from its first brace on, or kWorkerFailed with all that it said instead.
[[nodiscard]] Result<std::string> run_text(const std::string& command);
[[nodiscard]] Result<nlohmann::json> run_json(const std::string& command);
// Writes the head of the model alone. Absent: what synth says.
[[nodiscard]] Result<std::string> sparse_model(const DifferPaths& paths, const SynthWish& wish);
// An encoder for a model whose file is there.
[[nodiscard]] Result<std::string> sparse_encoder(const DifferPaths& paths, const std::string& model,
                                                 uint32_t layers, const SynthEncoder& shape);
// Its weights and its graph at the size that it warms up with.
[[nodiscard]] Result<std::vector<Difference>> differ_vision(const DifferPaths& paths,
                                                            const std::string& model,
                                                            const std::string& mmproj, bool flash);
[[nodiscard]] Result<ModelCard> card_of(const std::string& file);
[[nodiscard]] Result<Wish> wish_of(const std::string& file, const Configuration& configuration);
// Nothing where both say that the model cannot have that cache.
[[nodiscard]] Result<std::vector<Difference>> differ(const DifferPaths& paths,
                                                     const std::string& file,
                                                     const Configuration& configuration);

}  // namespace gantry
