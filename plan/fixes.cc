// The search for changes that are enough.
#include "plan/fixes.h"

#include <algorithm>
#include <functional>

#include "plan/need.h"
#include "plan/place.h"
#include "plan/stream.h"

namespace gantry {

namespace {

constexpr uint32_t kContextStep = 256;  // what llama.cpp rounds cells to
constexpr uint32_t kContextLeast = 512;

Bytes total_of(const Plan& plan) {
  Bytes sum;
  for (const Placement& model : plan.models) {
    for (const Need& need : model.needs) sum += need.total();
  }
  return sum;
}

// Adds the fix when planning with it fits. What is saved is the need of all models.
class Search {
 public:
  Search(const Machine& machine, const Demand& demand, const Plan& failed)
      : machine_(machine), demand_(demand), before_(total_of(failed)) {}

  bool attempt(const std::string& change, const Demand& changed) {
    const auto again = plan_once(machine_, changed);
    if (!again || !again->fits) return false;
    fixes_.push_back({change, before_ - total_of(*again)});
    return true;
  }
  void add(Fix fix) { fixes_.push_back(std::move(fix)); }

  Demand with(const std::function<void(Wish*)>& change) const {
    Demand changed = demand_;
    for (Wish& wish : changed.wishes) change(&wish);
    return changed;
  }

  std::vector<Fix> take() {
    std::ranges::stable_sort(fixes_, {}, &Fix::saves);
    return std::move(fixes_);
  }

 private:
  const Machine& machine_;
  const Demand& demand_;
  Bytes before_;
  std::vector<Fix> fixes_;
};

void set_caches(Wish* wish, CacheType type) {
  if (wish->engine != EngineKind::kLlama || !wish->card) return;
  if (!wish->card->check_cache(type, type)) return;
  wish->cache_k = wish->cache_v = type;
}

std::string cache_flags(CacheType type) {
  const std::string name(cache_type_name(type));
  return "-ctk " + name + " -ctv " + name;
}

// The largest context that is enough, in steps; alone or with other caches.
bool try_context(Search* search, const Machine& machine, const Demand& demand,
                 std::optional<CacheType> caches) {
  uint32_t longest = 0;
  for (const Wish& wish : demand.wishes) {
    if (wish.engine == EngineKind::kLlama) longest = std::max(longest, context_of(wish));
  }
  const auto changed = [&](uint32_t context) {
    return search->with([&](Wish* wish) {
      if (wish->engine != EngineKind::kLlama) return;
      wish->context = std::min(context, context_of(*wish));
      if (caches) set_caches(wish, *caches);
    });
  };
  const auto enough = [&](uint32_t steps) {
    const auto again = plan_once(machine, changed(steps * kContextStep));
    return again && again->fits;
  };
  uint32_t low = kContextLeast / kContextStep, high = (longest - 1) / kContextStep;
  if (longest <= kContextLeast || !enough(low)) return false;
  while (low < high) {
    const uint32_t middle = high - (high - low) / 2;
    if (enough(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  std::string change = "-c " + std::to_string(low * kContextStep);
  if (caches) change += " " + cache_flags(*caches);
  return search->attempt(change, changed(low * kContextStep));
}

// The least budget that is enough, when the machine has it.
void try_budget(Search* search, const Machine& machine, const Demand& demand, bool ram) {
  Demand open = demand;
  (ram ? open.ram : open.vram) = Budget{std::nullopt, 1.0};
  const auto most = plan_once(machine, open);
  if (!most || !most->fits) return;
  Bytes peak, budget;
  const auto rooms = rooms_of(machine, demand);
  for (size_t i = 0; i < most->models.size(); ++i) {
    const Wish& wish = demand.wishes[i];
    if (wish.engine == EngineKind::kCommand && !wish.declared) continue;  // takes what there is
    for (const Need& need : most->models[i].needs) {
      if ((need.device == kHost) == ram) peak = std::max(peak, need.total());
    }
  }
  for (const Room& room : *rooms) {
    if ((room.device == kHost) == ram) budget = std::max(budget, room.budget);
  }
  const auto raised_to = [&](uint64_t mebibytes) {
    Demand raised = demand;
    (ram ? raised.ram : raised.vram) = Budget{MiB(mebibytes), std::nullopt};
    return raised;
  };
  // Whole models need their peak. What streams fits into less, found by halves.
  uint64_t mebibytes = (peak.n + MiB(1).n - 1) / MiB(1).n;
  if (std::ranges::any_of(demand.wishes, can_stream)) {
    uint64_t low = budget.n / MiB(1).n;
    while (low + 1 < mebibytes) {
      const uint64_t middle = low + (mebibytes - low) / 2;
      const auto tried = plan_once(machine, raised_to(middle));
      (tried && tried->fits ? mebibytes : low) = middle;
    }
  }
  const Demand raised = raised_to(mebibytes);
  const auto again = plan_once(machine, raised);
  if (!again || !again->fits || !again->notes.empty()) return;
  const std::string flag = ram ? "--ram-budget " : "--vram-budget ";
  search->add({flag + std::to_string(mebibytes) + "MiB", MiB(mebibytes) - budget});
}

}  // namespace

std::vector<Fix> find_fixes(const Machine& machine, const Demand& demand, const Plan& failed) {
  Search search(machine, demand, failed);
  const auto one_sequence = [](Wish* wish) {
    if (wish->card) wish->parallel = 1;
  };
  const bool several = std::ranges::any_of(
      demand.wishes, [](const Wish& wish) { return wish.card && wish.parallel > 1; });
  if (several) search.attempt("--parallel 1", search.with(one_sequence));
  for (const CacheType type : {CacheType::kQ8_0, CacheType::kQ4_0}) {
    search.attempt(cache_flags(type), search.with([&](Wish* wish) { set_caches(wish, type); }));
  }
  if (!try_context(&search, machine, demand, std::nullopt) &&
      !try_context(&search, machine, demand, CacheType::kQ8_0)) {
    try_context(&search, machine, demand, CacheType::kQ4_0);
  }
  try_budget(&search, machine, demand, true);
  try_budget(&search, machine, demand, false);
  return search.take();
}

}  // namespace gantry
