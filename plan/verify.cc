// verify(): checks a plan against the machine and the demand with arithmetic of its own. Nothing
// of need.cc or place.cc is used here, so that one mistake is not made twice.
#include <algorithm>
#include <cmath>
#include <map>

#include "plan/plan.h"

namespace gantry {

namespace {

__extension__ typedef unsigned __int128 Wide;  // a sum of any 64-bit figures is exact

constexpr const char* kHostName = "cpu";

tl::unexpected<Error> broken(const std::string& what) {
  return fail(Code::kInternal, "the plan is wrong: " + what, "please report this");
}

Wide wide_total(const Need& need) {
  return Wide{need.weights.n} + need.kv.n + need.compute.n + need.overhead.n;
}

// Budgets as the demand says, cut to what the machine has.
std::map<std::string, uint64_t> budgets_of(const Machine& machine, const Demand& demand) {
  std::map<std::string, uint64_t> budgets;
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kCpu) continue;
    uint64_t budget = device.free.n;
    if (demand.vram && demand.vram->bytes) budget = std::min(budget, demand.vram->bytes->n);
    if (demand.vram && demand.vram->fraction && !demand.vram->bytes) {
      budget = std::min(budget, demand.vram->of(device.total).n);
    }
    if (demand.reserve) {
      const uint64_t kept = demand.reserve->bytes ? demand.reserve->bytes->n
                                                  : demand.reserve->of(device.total).n;
      budget = std::min(budget, device.free.n - std::min(device.free.n, kept));
    }
    budgets[device.name] = budget;
  }
  const Memory& memory = machine.memory;
  uint64_t usable = memory.available.n, total = memory.total.n;
  if (memory.cgroup_limit) {
    const uint64_t limit = memory.cgroup_limit->n, used = memory.cgroup_used.n;
    usable = std::min(usable, limit > used ? limit - used : 0);
    total = std::min(total, limit);
  }
  if (demand.ram && demand.ram->bytes) {
    budgets[kHostName] = std::min(usable, demand.ram->bytes->n);
  } else if (demand.ram) {
    budgets[kHostName] = std::min(usable, demand.ram->of({total}).n);
  } else {
    budgets[kHostName] =
        static_cast<uint64_t>(static_cast<double>(usable) * kPlanRamFraction);
  }
  return budgets;
}

// The least that a model's needs must add up to, whatever the formulas say.
struct Least {
  Wide weights = 0;
  Wide kv = 0;
  Wide compute = 0;  // one batch of activations, in and out
  uint32_t layers = 0;
};

Result<Least> least_of(const Wish& wish, uint32_t context) {
  Least least;
  if (!wish.card) return least;
  const ModelCard& card = *wish.card;
  for (const TensorGroup& group : card.groups) least.weights += group.bytes.n;
  if (wish.mmproj) {
    for (const TensorGroup& group : wish.mmproj->groups) least.weights += group.bytes.n;
  }
  least.layers = card.layers;
  if (wish.engine == EngineKind::kWhisper) {
    least.layers += card.audio_layers;
    least.kv = Wide{card.state_bytes.n};
    least.compute = Wide{8} * card.audio_context * card.embd;
    return least;
  }
  if (context == 0 || (card.context_trained != 0 && context > card.context_trained)) {
    return broken(wish.name + " has a context of " + std::to_string(context));
  }
  if (wish.context != 0 && context > wish.context) {
    return broken(wish.name + " has more context than asked for");
  }
  least.compute = Wide{8} * std::min(wish.ubatch, context) * card.embd;
  Wide row = 0;  // of one token, windows left out: those layers may keep less
  for (const LayerKv& layer : card.kv) {
    if (layer.window != 0 && layer.window < context) continue;
    row += cache_row_bytes(wish.cache_k, layer.k_width).n;
    row += cache_row_bytes(wish.cache_v, layer.v_width).n;
  }
  least.kv = (row * context + card.state_bytes.n) * wish.parallel;
  return least;
}

// The r smallest layers are the least that r resident layers can take, experts aside: they have a
// cache of their own.
Wide smallest_layers(const ModelCard& card, uint32_t count) {
  std::map<int, uint64_t> layers;
  for (const TensorGroup& group : card.groups) {
    if (group.part == Part::kLayer) layers[group.layer] += (group.bytes - group.expert_bytes).n;
  }
  std::vector<uint64_t> sizes;
  for (const auto& [layer, bytes] : layers) sizes.push_back(bytes);
  std::ranges::sort(sizes);
  Wide sum = 0;
  for (uint32_t i = 0; i < count && i < sizes.size(); ++i) sum += sizes[i];
  return sum;
}

// Of each layer, the largest of its own weights; experts are in no ring.
uint64_t least_ring(const ModelCard& card) {
  uint64_t least = UINT64_MAX;
  for (const TensorGroup& group : card.groups) {
    if (group.part != Part::kLayer || group.sizes.empty()) continue;
    least = std::min(least, *std::ranges::max_element(group.sizes));
  }
  return least == UINT64_MAX ? 0 : least;
}

// What a streamed model promises beyond its needs. `device` is what it needs where it computes.
Result<void> check_stream(const Wish& wish, const Placement& placement, Wide weights,
                          const Need& device) {
  const StreamPlan& stream = *placement.stream;
  const Layers& layers = placement.layers;
  const StreamWish& asked = wish.stream;
  if (asked.streaming == Streaming::kNever) return broken(wish.name + " may not stream");
  if (layers.streamed == 0 || layers.cpu != 0 || stream.streamed.n == 0) {
    return broken(wish.name + " streams, and nothing does");
  }
  const Wide held = Wide{stream.resident.n} + stream.ring.n + stream.experts.n;
  if (Wide{device.weights.n} < held) return broken(wish.name + " lacks its ring");
  // Ring, cache and host memory hold copies; without them everything is still somewhere.
  const Wide once = weights - stream.ring.n - stream.experts.n - stream.host_budget.n;
  Wide all = 0, experts = 0;
  for (const TensorGroup& group : wish.card->groups) {
    all += group.bytes.n;
    experts = std::max(experts, Wide{group.expert_bytes.n});
  }
  if (once + stream.streamed.n < all) return broken(wish.name + " lost weights between tiers");
  if (experts == 0 && stream.ring.n < least_ring(*wish.card)) {
    return broken(wish.name + " has a ring that its matrices do not fit");
  }
  const bool banks_move = experts > 0 && stream.experts.n > 0;
  if (banks_move && stream.experts.n < experts) {
    return broken(wish.name + " has no room for the experts of one layer");
  }
  if (Wide{stream.device_budget.n} < held + device.kv.n || stream.device_budget > device.total()) {
    return broken(wish.name + " gives the streamer another budget than it needs");
  }
  if (stream.host_budget > stream.streamed) return broken(wish.name + " hosts what stays");
  // A layer whose experts pass through their cache counts as streamed, whatever else of it stays.
  const uint32_t wanted = asked.resident_layers.value_or(0);
  if (experts == 0 && layers.resident < std::min(wanted, wish.card->layers)) {
    return broken(wish.name + " keeps fewer layers than asked for");
  }
  if (Wide{stream.resident.n} <
      smallest_layers(*wish.card, std::max(wanted, layers.resident))) {
    return broken(wish.name + " lacks resident weights");
  }
  return {};
}

// The wish that was carried out: another file, smaller caches, as far as the user allows them.
Result<Wish> carried_out(const Wish& wished, const Placement& placement) {
  Wish wish = wished;
  if (!placement.alternative.empty() && placement.alternative != wished.insisted) {
    const auto other =
        std::ranges::find(wished.alternatives, placement.alternative, &Alternative::name);
    if (other == wished.alternatives.end()) {
      return broken(wished.name + " is replaced by " + placement.alternative);
    }
    wish.card = other->card;
    wish.mmproj = other->mmproj;
    wish.dry_runs = other->dry_runs;
  } else if (wished.engine == EngineKind::kLlama) {
    const auto allowed = [&](CacheType type, CacheType as_wished) {
      return type == as_wished ||
             std::ranges::find(wished.levers.caches, type) != wished.levers.caches.end();
    };
    if (!allowed(placement.cache_k, wished.cache_k) ||
        !allowed(placement.cache_v, wished.cache_v)) {
      return broken(wished.name + " has another KV cache than was allowed");
    }
  }
  if (placement.ubatch > wished.ubatch ||
      (placement.ubatch < wished.ubatch && !wished.levers.smaller_batch)) {
    return broken(wished.name + " has another batch than was allowed");
  }
  if (placement.encoder_on_cpu && !wished.encoder_on_cpu && !wished.levers.encoder_on_cpu) {
    return broken(wished.name + " has its encoder on the CPU");
  }
  wish.cache_k = placement.cache_k;
  wish.cache_v = placement.cache_v;
  wish.ubatch = placement.ubatch;
  return wish;
}

uint64_t cap_of(const Machine& machine, const Wish& wish, const std::string& device) {
  if (!wish.cap || device == kHostName) return UINT64_MAX;
  if (wish.cap->bytes) return wish.cap->bytes->n;
  for (const Device& each : machine.devices) {
    if (each.name == device) return wish.cap->of(each.total).n;
  }
  return 0;
}

// Every device has at least half of its share of the layers: what is cut is rounded down to heads
// and blocks, of which each has one.
Result<void> check_tensors(const Machine& machine, const Wish& wish, const Placement& placement,
                           const std::map<std::string, const Need*>& by_device) {
  Wide all = 0, layers = 0;
  for (const Split& split : placement.splits) all += split.share;
  for (const TensorGroup& group : wish.card->groups) {
    if (group.part == Part::kLayer) layers += group.bytes.n;
  }
  std::string backend;
  for (const Split& split : placement.splits) {
    const auto device = std::ranges::find(machine.devices, split.device, &Device::name);
    std::string engine = device->backend;
    while (!engine.empty() && engine.back() >= '0' && engine.back() <= '9') engine.pop_back();
    if (split.share == 0 || split.layers != placement.layers.resident ||
        (!backend.empty() && engine != backend)) {
      return broken(wish.name + " has tensors split where they cannot be");
    }
    backend = engine;
    if (Wide{by_device.at(split.device)->weights.n} * all * 2 < layers * split.share) {
      return broken(wish.name + " lacks weights on " + split.device);
    }
  }
  if (placement.splits.size() < 2 || placement.layers.cpu > 0 || placement.stream) {
    return broken(wish.name + " has tensors split, and not over several devices");
  }
  return {};
}

// Layers are where the splits say, and only where the user lets them be.
Result<void> check_splits(const Machine& machine, const Wish& wish, const Placement& placement,
                          const std::map<std::string, const Need*>& by_device) {
  const Layers& layers = placement.layers;
  const bool tensors = placement.split_mode == SplitMode::kTensor;
  uint64_t sum = 0;
  std::map<std::string, int> seen;
  for (const Split& split : placement.splits) {
    sum = tensors ? split.layers : sum + split.layers;
    const auto device = std::ranges::find(machine.devices, split.device, &Device::name);
    const auto need = by_device.find(split.device);
    if (split.layers == 0 || ++seen[split.device] > 1 || device == machine.devices.end() ||
        device->kind == DeviceKind::kCpu || need == by_device.end()) {
      return broken(wish.name + " has a split that is none");
    }
    if (wish.card && wish.engine == EngineKind::kLlama && !tensors &&
        placement.formula.empty() &&
        need->second->weights.n < smallest_layers(*wish.card, split.layers)) {
      return broken(wish.name + " lacks weights on " + split.device);
    }
  }
  if (sum != (placement.stream ? 0 : layers.resident)) {
    return broken(wish.name + " has splits that do not add up to its layers");
  }
  if (tensors) {
    const bool has = wish.card && wish.engine == EngineKind::kLlama;
    if (!has) return broken(wish.name + " has no tensors to split");
    if (auto sound = check_tensors(machine, wish, placement, by_device); !sound) return sound;
  }
  const bool on_cpu = layers.cpu > 0 || (placement.stream && placement.stream->device == "cpu");
  if (wish.device.empty()) {
    if (on_cpu && !wish.levers.cpu) return broken(wish.name + " may not be on the CPU");
    return {};
  }
  for (const auto& [name, need] : by_device) {
    if (name != kHostName && name != wish.device) {
      return broken(wish.name + " is on " + name + " instead of " + wish.device);
    }
  }
  if (on_cpu && wish.device != kHostName) return broken(wish.name + " left " + wish.device);
  return {};
}

// Never less than was measured or declared.
Result<void> check_measured(const Wish& wish, const std::map<std::string, const Need*>& by_device) {
  const Need& host = *by_device.at(kHostName);
  if (wish.measured_overhead && host.overhead < *wish.measured_overhead) {
    return broken(wish.name + " has less overhead than was measured");
  }
  Wide all = 0;
  for (const auto& [device, need] : by_device) all += wide_total(*need);
  const bool elsewhere = wish.accelerated && by_device.size() > 1;
  if (elsewhere && all < Wide{wish.accelerated->device.n} + wish.accelerated->host.n) {
    return broken(wish.name + " has less than was declared");
  }
  if (!elsewhere && wish.declared && host.total() < *wish.declared) {
    return broken(wish.name + " has less than was declared");
  }
  return {};
}

// Where the engine was asked its word is taken as it is, and then nothing is known better.
Result<void> check_engine(const Wish& wish, const Placement& placement, Least* least) {
  const auto same_place = [&](const DryRun& run) {
    return run.context == placement.context && run.parallel == wish.parallel &&
           run.ubatch == placement.ubatch && run.cache_k == placement.cache_k &&
           run.cache_v == placement.cache_v && run.encoder_on_cpu == placement.encoder_on_cpu &&
           std::ranges::equal(run.splits, placement.splits, [](const Split& a, const Split& b) {
             return a.device == b.device && a.layers == b.layers;
           });
  };
  const auto run = std::ranges::find_if(wish.dry_runs, same_place);
  const bool asked = run != wish.dry_runs.end() && !placement.stream;
  if (asked == placement.formula.empty()) {
    return broken(wish.name + (asked ? " is not as the engine said" : ": the engine said nothing"));
  }
  if (!asked) return {};
  least->weights = least->kv = least->compute = 0;
  for (const Need& need : placement.needs) {
    const auto said = std::ranges::find(run->needs, need.device, &Need::device);
    const Need none;
    const Need& is = said == run->needs.end() ? none : *said;
    if (need.weights != is.weights || need.kv != is.kv || need.compute != is.compute) {
      return broken(wish.name + " has other bytes on " + need.device + " than the engine said");
    }
  }
  return {};
}

Result<void> check_needs(const Machine& machine, const Wish& wish, const Placement& placement,
                         const std::map<std::string, uint64_t>& budgets) {
  std::map<std::string, const Need*> by_device;
  bool fits = true;
  if (placement.needs.empty()) return broken(wish.name + " needs nothing");
  Wide weights = 0, kv = 0, compute = 0;
  for (const Need& need : placement.needs) {
    const auto budget = budgets.find(need.device);
    if (budget == budgets.end()) return broken(wish.name + " is on unknown " + need.device);
    if (!by_device.emplace(need.device, &need).second) {
      return broken(wish.name + " is on " + need.device + " twice");
    }
    if (wide_total(need) > std::min(budget->second, cap_of(machine, wish, need.device))) {
      fits = false;
    }
    weights += need.weights.n;
    kv += need.kv.n;
    compute += need.compute.n;
  }
  const auto host = by_device.find(kHostName);
  if (host == by_device.end()) return broken(wish.name + " needs no host memory");
  if (placement.fits_alone != fits) {
    return broken(wish.name + (fits ? " fits, and is said not to" : " is over a budget"));
  }
  auto least = least_of(wish, placement.context);
  if (!least) return fail(least.error());
  if (auto sound = check_engine(wish, placement, &*least); !sound) return sound;
  if (!placement.stream && weights < least->weights) return broken(wish.name + " lacks weights");
  if (kv < least->kv) return broken(wish.name + " lacks cache");
  if (compute < least->compute) return broken(wish.name + " lacks compute buffers");
  const bool given = wish.measured_overhead || wish.declared;
  if (host->second->overhead.n == 0 && !given && wish.engine != EngineKind::kCommand) {
    return broken(wish.name + " is a process without overhead");
  }
  const Wide layers =
      Wide{placement.layers.resident} + placement.layers.streamed + placement.layers.cpu;
  if (layers != least->layers) return broken(wish.name + " lost a layer or has one too many");
  if ((placement.layers.streamed != 0) != placement.stream.has_value()) {
    return broken(wish.name + " streams, and it does not say how");
  }
  if (placement.stream) {
    const auto device = by_device.find(placement.stream->device);
    if (device == by_device.end() || !wish.card) {
      return broken(wish.name + " streams on a device that it does not use");
    }
    if (auto sound = check_stream(wish, placement, weights, *device->second); !sound) return sound;
  } else if ((placement.layers.resident > 0) != (by_device.size() > 1) && !wish.accelerated) {
    return broken(wish.name + " has layers resident on no accelerator, or none on one");
  }
  if (placement.fits_alone) {
    auto sound = check_splits(machine, wish, placement, by_device);
    if (!sound) return sound;
  }
  if (auto sound = check_measured(wish, by_device); !sound) return sound;
  if (!wish.card || wish.engine == EngineKind::kWhisper || placement.stream) return {};
  if (!placement.formula.empty()) return {};
  if (host->second->weights.n < smallest_layers(*wish.card, placement.layers.cpu)) {
    return broken(wish.name + " lacks weights on the host");
  }
  const Wide accelerator = weights - host->second->weights.n;
  if (accelerator < smallest_layers(*wish.card, placement.layers.resident)) {
    return broken(wish.name + " lacks weights on the accelerator");
  }
  return {};
}

// Which models are loaded together, by the lowest of their numbers: settled when a whole pass
// changes nothing.
std::vector<size_t> joined(const Demand& demand) {
  std::vector<size_t> unit(demand.wishes.size());
  for (size_t i = 0; i < unit.size(); ++i) unit[i] = i;
  for (bool changed = true; changed;) {
    changed = false;
    for (const std::vector<std::string>& names : demand.together) {
      size_t least = SIZE_MAX;
      std::vector<size_t> members;
      for (size_t i = 0; i < unit.size(); ++i) {
        if (std::ranges::count(names, demand.wishes[i].name) == 0) continue;
        members.push_back(i);
        least = std::min(least, unit[i]);
      }
      for (const size_t i : members) {
        changed = changed || unit[i] != least;
        unit[i] = least;
      }
    }
  }
  return unit;
}

// What was demanded of the models as a household.
Result<void> check_household(const Demand& demand, const Plan& plan) {
  const std::vector<size_t> unit = joined(demand);
  const size_t count = plan.models.size();
  const auto shared = [&](const std::vector<std::string>& names, size_t a, size_t b) {
    return std::ranges::count(names, demand.wishes[a].name) > 0 &&
           std::ranges::count(names, demand.wishes[b].name) > 0;
  };
  for (size_t a = 0; a < count; ++a) {
    const std::string& name = demand.wishes[a].name;
    if (!plan.models[a].stays && std::ranges::count(demand.stay, name) > 0) {
      return broken(name + " does not stay loaded");
    }
    for (size_t b = a + 1; b < count; ++b) {
      if (unit[a] == unit[b] && plan.models[a].stays != plan.models[b].stays) {
        return broken(name + " is not loaded together with its group");
      }
      const bool apart = std::ranges::any_of(
          demand.apart, [&](const auto& names) { return shared(names, a, b); });
      const bool both = unit[a] == unit[b] || plan.models[a].stays || plan.models[b].stays;
      if (apart && both) return broken(name + " is loaded beside what it must not meet");
    }
  }
  return {};
}

// Whoever does not stay has one turn, with its group, in the order of the wishes.
Result<void> check_turns(const Demand& demand, const Plan& plan) {
  const std::vector<size_t> unit = joined(demand);
  std::vector<size_t> told;
  for (const Turn& turn : plan.turns) {
    size_t group = SIZE_MAX;
    for (const std::string& name : turn.models) {
      const auto at = std::ranges::find(demand.wishes, name, &Wish::name);
      if (at == demand.wishes.end()) return broken("a turn of " + name);
      const auto model = static_cast<size_t>(at - demand.wishes.begin());
      if (group != SIZE_MAX && unit[model] != group) return broken(name + " has another's turn");
      group = unit[model];
      if (!told.empty() && group < unit[told.back()]) return broken("the order of the turns");
      told.push_back(model);
    }
  }
  for (size_t i = 0; i < plan.models.size(); ++i) {
    const bool turns = plan.fits && !plan.models[i].stays && !plan.models[i].cloud;
    if (std::ranges::count(told, i) != (turns ? 1 : 0)) {
      return broken(demand.wishes[i].name + " has no turn, or too many");
    }
  }
  return {};
}

// The share of a device is the sum of what the models need there, and at most what stays and the
// largest turn are there at once.
Result<void> check_share(const DeviceShare& share, const Demand& demand, const Plan& plan,
                         uint64_t budget) {
  Wide weights = 0, kv = 0, compute = 0, overhead = 0, stays = 0;
  const std::vector<size_t> unit = joined(demand);
  std::map<size_t, Wide> turns;
  for (size_t i = 0; i < plan.models.size(); ++i) {
    for (const Need& need : plan.models[i].needs) {
      if (need.device != share.name) continue;
      weights += need.weights.n;
      kv += need.kv.n;
      compute += need.compute.n;
      overhead += need.overhead.n;
      (plan.models[i].stays ? stays : turns[unit[i]]) += wide_total(need);
    }
  }
  Wide peak = stays;
  for (const auto& [number, bytes] : turns) peak = std::max(peak, stays + bytes);
  const auto same = [](Bytes said, Wide found) {
    return Wide{said.n} == std::min<Wide>(found, UINT64_MAX);
  };
  if (!same(share.weights, weights) || !same(share.kv, kv) || !same(share.compute, compute) ||
      !same(share.overhead, overhead) || !same(share.peak, peak) ||
      !same(share.total, weights + kv + compute + overhead)) {
    return broken("the sums of " + share.name);
  }
  if (share.budget.n != budget) return broken("the budget of " + share.name);
  if (plan.fits && peak > budget) return broken(share.name + " is over its budget");
  return {};
}

bool sane(const std::optional<double>& rate) {
  return !rate || (std::isfinite(*rate) && *rate > 0);
}

// Whoever fits alone then fits in turn.
bool all_may_wait(const Demand& demand) {
  const bool free = demand.stay.empty() && demand.together.empty();
  return demand.wishes.size() == 1 ||
         (free && std::ranges::all_of(demand.wishes, [](const Wish& wish) {
            return wish.shortage.empty() ||
                   std::ranges::count(wish.shortage, Shortage::kWait) > 0;
          }));
}

}  // namespace

Result<void> verify(const Machine& machine, const Demand& demand, const Plan& plan) {
  const auto budgets = budgets_of(machine, demand);
  if (plan.models.size() != demand.wishes.size()) return broken("a model is missing");
  bool alone = true, stay = true;
  for (size_t i = 0; i < plan.models.size(); ++i) {
    const Placement& placement = plan.models[i];
    const Wish& wished = demand.wishes[i];
    if (placement.name != wished.name || placement.engine != wished.engine) {
      return broken(wished.name + " is planned as " + placement.name);
    }
    if (placement.cloud) {
      const bool said = std::ranges::count(wished.shortage, Shortage::kCloud) > 0;
      if (!said || !placement.needs.empty() || !placement.fits_alone) {
        return broken(wished.name + " is in the cloud");
      }
    } else {
      const auto wish = carried_out(wished, placement);
      if (!wish) return fail(wish.error());
      if (auto sound = check_needs(machine, *wish, placement, budgets); !sound) return sound;
    }
    if (!sane(placement.speed.decode) || !sane(placement.speed.prefill)) {
      return broken("the speed of " + wished.name);
    }
    alone = alone && placement.fits_alone;
    stay = stay && placement.stays;
  }
  if (plan.fits && !alone) return broken("it fits, or it does not");
  if (!plan.fits && alone && all_may_wait(demand)) return broken("they fit in turn");
  if (plan.together != (plan.fits && stay)) return broken("all fit at once, or they do not");
  if (plan.fits && !plan.fixes.empty()) return broken("fixes for what fits");
  if (plan.fits) {
    if (auto sound = check_household(demand, plan); !sound) return sound;
  }
  if (auto sound = check_turns(demand, plan); !sound) return sound;
  if (plan.devices.size() != budgets.size()) return broken("a device is missing");
  std::map<std::string, int> seen;
  for (const DeviceShare& share : plan.devices) {
    const auto budget = budgets.find(share.name);
    if (budget == budgets.end() || ++seen[share.name] > 1) {
      return broken("device " + share.name + " is unknown or there twice");
    }
    if (auto sound = check_share(share, demand, plan, budget->second); !sound) return sound;
  }
  return {};
}

}  // namespace gantry
