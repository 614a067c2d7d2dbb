// Experts on demand: the slices that a batch's router picked, in slots on the inner device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "stream/experts.h"
#include "stream/graph.h"
#include "stream/inner.h"
#include "stream/loader.h"

namespace gantry {

// Kernels are shown a matrix of as many experts as there are slots, and router choices that name
// slots. So any device can do it, the full shape never needs addresses, and the budget holds to the
// byte. One thread at a time.
class ExpertBanks {
 public:
  // `bytes` for all slots; the banks' shapes share them in proportion to their size.
  // `sources`: where each bank's parts rest, files as the loader numbers them.
  [[nodiscard]] static Result<std::unique_ptr<ExpertBanks>> make(
      const Inner& inner, const std::vector<WeightGroup>& banks, uint64_t bytes,
      std::vector<std::vector<Part>> sources, Loader& loader, StatsPage& stats, Trace& trace);

  // What the slots of all shapes need at least: one layer's experts each.
  static uint64_t least_bytes(const std::vector<WeightGroup>& banks);

  // Brings the experts that `choices` names (experts of this bank, one row a token) and returns the
  // choices as slots, valid until the next call. Everything that computes with the slots or the
  // choices of the call before must be over, and `choices` computed.
  [[nodiscard]] Result<ggml_tensor*> prepare(size_t bank, const ggml_tensor* choices);

  uint64_t bytes() const;

 private:
  // Banks whose parts have the same types and shapes share slots.
  struct Pool {
    std::vector<DeviceBuffer> parts;
    size_t slots = 0;
    std::unique_ptr<ExpertCache> cache;
  };
  struct Bank {
    std::vector<Weight*> weights;
    std::vector<Part> sources;
    size_t pool = 0;
    uint32_t number = 0;  // in its pool
    uint32_t layer = 0;
    uint32_t experts = 0;
    uint64_t bytes = 0;  // of one expert, all parts
  };

  ExpertBanks(const Inner& inner, Loader& loader, StatsPage& stats, Trace& trace)
      : inner_(inner), loader_(loader), stats_(stats), trace_(trace) {}
  [[nodiscard]] Result<void> make_pools(const std::vector<WeightGroup>& banks, uint64_t bytes);
  [[nodiscard]] Result<void> place(Bank& bank);
  [[nodiscard]] Result<std::vector<int32_t>> read_choices(const Bank& bank,
                                                          const ggml_tensor* choices) const;
  [[nodiscard]] Result<void> fetch(const Bank& bank, const std::vector<ExpertMove>& moves);
  [[nodiscard]] Result<ggml_tensor*> show(const ggml_tensor* choices,
                                          const std::vector<int32_t>& slots);

  const Inner& inner_;
  Loader& loader_;
  StatsPage& stats_;
  Trace& trace_;
  std::vector<Bank> banks_;
  std::vector<Pool> pools_;
  DeviceBuffer choices_buffer_;
  ggml_tensor choices_ = {};
};

}  // namespace gantry
