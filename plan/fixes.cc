// The search for changes that are enough.
#include "plan/fixes.h"

#include <algorithm>
#include <functional>

#include "plan/levers.h"
#include "plan/need.h"
#include "plan/place.h"

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

// The least budget that is enough, when the machine has it: more of it never fits less.
void try_budget(Search* search, const Machine& machine, const Demand& demand, bool ram) {
  const auto raised_to = [&](uint64_t mebibytes) {
    Demand raised = demand;
    (ram ? raised.ram : raised.vram) = Budget{MiB(mebibytes), std::nullopt};
    return raised;
  };
  const auto enough = [&](uint64_t mebibytes) {
    const auto tried = plan_once(machine, raised_to(mebibytes));
    return tried && tried->fits;
  };
  const auto largest = [&](const std::vector<Room>& rooms) {
    Bytes most;
    for (const Room& room : rooms) {
      if ((room.device == kHost) == ram) most = std::max(most, room.budget);
    }
    return most;
  };
  Demand open = demand;
  (ram ? open.ram : open.vram) = Budget{std::nullopt, 1.0};
  const auto rooms = rooms_of(machine, demand), all = rooms_of(machine, open);
  const Bytes budget = largest(*rooms);
  uint64_t low = budget.n / MiB(1).n, high = largest(*all).n / MiB(1).n;
  if (high <= low || !enough(high)) return;
  while (low + 1 < high) {
    const uint64_t middle = low + (high - low) / 2;
    (enough(middle) ? high : low) = middle;
  }
  const std::string flag = ram ? "--ram-budget " : "--vram-budget ";
  search->add({flag + std::to_string(high) + "MiB", MiB(high) - budget});
}

// Loaded one after another, where the user wanted them at once.
void try_turns(Search* search, const Demand& demand) {
  Demand changed = demand;
  changed.together.clear();
  changed.stay.clear();
  for (Wish& wish : changed.wishes) {
    if (wish.shortage.empty() || turn_of(wish, Shortage::kWait)) continue;
    wish.shortage.insert(wish.shortage.begin(), Shortage::kWait);
  }
  search->attempt("in turn instead of together", changed);
}

// What the user did not allow of one model.
void try_models(Search* search, const Demand& demand) {
  for (size_t i = 0; i < demand.wishes.size(); ++i) {
    const Wish& wish = demand.wishes[i];
    Demand changed = demand;
    Wish& other = changed.wishes[i];
    if (wish.card && wish.device != kHost) {
      other.device = kHost;
      other.levers.cpu = true;
      search->attempt(wish.name + " on the CPU", changed);
    }
    if (wish.cap) {
      other = wish;
      other.cap.reset();
      search->attempt(wish.name + " without its cap", changed);
    }
    if (wish.stream.streaming == Streaming::kNever && wish.engine == EngineKind::kLlama) {
      other = wish;
      other.stream = {};
      search->attempt(wish.name + " streamed (no --no-stream)", changed);
    }
    if (!wish.shortage.empty() && wish.card && !turn_of(wish, Shortage::kCpu)) {
      other = wish;
      other.shortage.insert(other.shortage.begin(), Shortage::kCpu);
      search->attempt("layers of " + wish.name + " on the CPU (--shortage cpu)", changed);
    }
    if (wish.mmproj && !wish.encoder_on_cpu) {
      other = wish;
      other.encoder_on_cpu = true;
      search->attempt("the vision encoder of " + wish.name + " on the CPU", changed);
    }
    for (const Alternative& smaller : wish.alternatives) {
      other = wish;
      other.card = smaller.card;
      other.mmproj = smaller.mmproj;
      other.dry_runs = smaller.dry_runs;
      other.alternatives.clear();
      search->attempt(smaller.name + " instead of " + wish.name, changed);
    }
  }
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
  if (demand.wishes.size() > 1) try_turns(&search, demand);
  try_models(&search, demand);
  if (demand.reserve) {
    Demand changed = demand;
    changed.reserve.reset();
    search.attempt("no --reserve", changed);
  }
  try_budget(&search, machine, demand, true);
  try_budget(&search, machine, demand, false);
  return search.take();
}

}  // namespace gantry
