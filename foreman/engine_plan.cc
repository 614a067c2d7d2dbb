// The rounds.
#include "foreman/engine_plan.h"

#include <algorithm>

#include "plan/place.h"

namespace gantry {

namespace {

// Where the engine's word on this placement belongs: with the file that it is about.
std::vector<DryRun>* runs_of(const Placement& placement, Wish* wish) {
  const auto other = std::ranges::find(wish->alternatives, placement.alternative,
                                       &Alternative::name);
  const bool other_file = placement.alternative != wish->insisted;
  return other_file && other != wish->alternatives.end() ? &other->dry_runs : &wish->dry_runs;
}

DryRun run_of(const Wish& wish, const Placement& placement, std::vector<Need> said) {
  DryRun run{placement.context, wish.parallel,     placement.ubatch,
             placement.cache_k, placement.cache_v, placement.encoder_on_cpu,
             placement.splits,  std::move(said),   {}};
  for (const Need& need : run.needs) {
    for (const Need& formula : placement.needs) {
      if (formula.device != need.device) continue;
      run.excess = std::max(run.excess, need.total() - (formula.total() - formula.overhead));
    }
  }
  return run;
}

// True: something new was said.
bool ask_about(const AskEngine& ask, const Placement& placement, Wish* wish, std::string* why) {
  const bool done = !placement.formula.empty() || !why->empty();
  if (done || placement.engine != EngineKind::kLlama || placement.cloud || !wish->card) {
    return false;
  }
  if (placement.stream) {
    *why = "it streams";
    return false;
  }
  if (placement.split_mode == SplitMode::kTensor) {
    *why = "its tensors are split over devices";
    return false;
  }
  if (wish->draft || wish->adapters > 0) {
    *why = "its dry run has no draft and no adapters";
    return false;
  }
  Result<std::vector<Need>> said = ask(*wish, placement);
  if (!said) {
    *why = said.error().code == Code::kUnsupported ? "" : said.error().message;
    return false;
  }
  runs_of(placement, wish)->push_back(run_of(*wish, placement, std::move(*said)));
  return true;
}

}  // namespace

Result<Plan> plan_asking(const Machine& machine, const AskEngine& ask, Demand* demand) {
  std::vector<std::string> why(demand->wishes.size());
  Result<Plan> made = plan_once(machine, *demand);
  for (int round = 0; made; ++round) {
    bool news = false;
    for (size_t i = 0; i < made->models.size() && round < kAskRounds; ++i) {
      news = ask_about(ask, made->models[i], &demand->wishes[i], &why[i]) || news;
    }
    if (!news) break;
    made = plan_once(machine, *demand);
  }
  if (made && !made->fits) made = plan(machine, *demand);  // with what would be enough
  if (!made) return made;
  for (size_t i = 0; i < why.size(); ++i) {
    const Placement& model = made->models[i];
    if (!model.formula.empty() || why[i].empty()) continue;
    made->notes.push_back("bytes of " + model.name + " by formula: " + why[i]);
  }
  return made;
}

}  // namespace gantry
