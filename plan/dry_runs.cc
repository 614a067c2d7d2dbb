// Which figures hold for one way.
#include "plan/dry_runs.h"

#include <algorithm>

#include "plan/need.h"

namespace gantry {

namespace {

bool same_splits(const std::vector<Split>& a, const std::vector<Split>& b) {
  return std::ranges::equal(a, b, [](const Split& x, const Split& y) {
    return x.device == y.device && x.layers == y.layers;
  });
}

// Bytes of the process stay ours: the engine knows its buffers alone.
std::vector<Need> with_overhead(std::vector<Need> said, const std::vector<Need>& formula) {
  for (const Need& need : formula) {
    auto found = std::ranges::find(said, need.device, &Need::device);
    if (found == said.end()) found = said.insert(said.end(), Need{need.device, {}, {}, {}, {}});
    found->overhead = need.overhead;
  }
  return said;
}

}  // namespace

DryRun dry_run_for(const Wish& wish, const std::vector<Split>& splits) {
  return {context_of(wish), wish.parallel,       wish.ubatch, wish.cache_k, wish.cache_v,
          wish.encoder_on_cpu, splits, {}, {}};
}

const DryRun* dry_run_of(const Wish& wish, const std::vector<Split>& splits) {
  if (wish.dry_runs.empty()) return nullptr;
  const DryRun asked = dry_run_for(wish, splits);
  const auto found = std::ranges::find_if(wish.dry_runs, [&](const DryRun& run) {
    return run.context == asked.context && run.parallel == asked.parallel &&
           run.ubatch == asked.ubatch && run.cache_k == asked.cache_k &&
           run.cache_v == asked.cache_v && run.encoder_on_cpu == asked.encoder_on_cpu &&
           same_splits(run.splits, splits);
  });
  return found == wish.dry_runs.end() ? nullptr : &*found;
}

void use_dry_runs(const Wish& wish, Choice* choice) {
  if (wish.dry_runs.empty() || choice->stream || choice->split_mode == SplitMode::kTensor) return;
  if (const DryRun* run = dry_run_of(wish, choice->splits)) {
    choice->formula = choice->needs;
    choice->needs = with_overhead(run->needs, choice->formula);
    return;
  }
  Bytes lacking;
  for (const DryRun& run : wish.dry_runs) lacking = std::max(lacking, run.excess);
  for (Need& need : choice->needs) need.compute += lacking;
}

}  // namespace gantry
