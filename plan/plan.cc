// plan(): all ways of every model, the least cost of the household, then words; fixes where it
// does not fit.
#include "plan/plan.h"

#include <algorithm>

#include "plan/choose.h"
#include "plan/fixes.h"
#include "plan/need.h"
#include "plan/place.h"
#include "plan/speed.h"
#include "plan/ways.h"

namespace gantry {

namespace {

// Jobs of a queue that go through a model before another is loaded.
constexpr double kBatchJobs = 8;

// One round of the words on shortage (plan/levers.h), and what came of it.
struct Household {
  std::vector<Ways> ways;    // of each model
  std::vector<size_t> way;   // of each model: which of its options
  std::vector<bool> stays;   // of each model
  Least least;
  bool sound = false;        // every demand is met
};

double weight_of(const Wish& wish) { return wish.priority * wish.usage.share; }

std::vector<Way> solver_ways(const std::vector<Room>& rooms, const Wish& wish, const Ways& ways) {
  std::vector<Way> out;
  out.reserve(ways.options.size());
  const double weight = weight_of(wish);
  const double loads = wish.latency == Latency::kBatch ? 1 / kBatchJobs : 1;
  for (const Option& option : ways.options) {
    Way way{weight * option.use + option.penalty, weight * option.load * loads, {}};
    way.bytes.resize(rooms.size());
    for (const Need& need : option.choice.needs) {
      for (size_t d = 0; d < rooms.size(); ++d) {
        if (rooms[d].device == need.device) way.bytes[d] = need.total().n;
      }
    }
    out.push_back(std::move(way));
  }
  return out;
}

std::vector<std::pair<size_t, size_t>> pairs_of(const Demand& demand,
                                                const std::vector<std::vector<std::string>>& sets) {
  std::vector<std::pair<size_t, size_t>> pairs;
  for (const std::vector<std::string>& names : sets) {
    std::vector<size_t> members;
    for (size_t i = 0; i < demand.wishes.size(); ++i) {
      if (std::ranges::find(names, demand.wishes[i].name) != names.end()) members.push_back(i);
    }
    for (size_t i = 0; i < members.size(); ++i) {
      for (size_t k = i + 1; k < members.size(); ++k) pairs.emplace_back(members[i], members[k]);
    }
  }
  return pairs;
}

// Whoever must never meet another takes turns with it, whatever is said of waiting; and with it all
// that must be loaded together with it.
std::vector<bool> kept_apart(const Demand& demand) {
  const std::vector<size_t> groups = groups_of(demand);
  std::vector<bool> apart(groups.size(), false);
  for (const auto& [a, b] : pairs_of(demand, demand.apart)) {
    for (size_t i = 0; i < groups.size(); ++i) {
      if (groups[i] == groups[a] || groups[i] == groups[b]) apart[i] = true;
    }
  }
  return apart;
}

bool must_stay(const Demand& demand, const Wish& wish, bool apart, uint32_t turn) {
  const auto wait = turn_of(wish, Shortage::kWait);
  return std::ranges::find(demand.stay, wish.name) != demand.stay.end() ||
         (!apart && (!wait || *wait > turn));
}

ChooseAsk ask_of(const std::vector<Room>& rooms, const Demand& demand,
                 const std::vector<Ways>& ways, uint32_t turn) {
  ChooseAsk ask;
  for (const Room& room : rooms) ask.budgets.push_back(room.budget.n);
  const std::vector<bool> apart = kept_apart(demand);
  for (size_t i = 0; i < ways.size(); ++i) {
    const Wish& wish = demand.wishes[i];
    ask.ways.push_back(solver_ways(rooms, wish, ways[i]));
    ask.shares.push_back(wish.usage.share);
    ask.stays.push_back(must_stay(demand, wish, apart[i], turn) && demand.wishes.size() > 1);
  }
  ask.together = pairs_of(demand, demand.together);
  ask.apart = pairs_of(demand, demand.apart);
  return ask;
}

// Whether a word of this wish has its turn now, so that there are other ways than before.
bool changes_at(const Wish& wish, uint32_t turn) {
  return turn == 0 || std::ranges::any_of(
                          std::initializer_list<Shortage>{Shortage::kShrink, Shortage::kCpu,
                                                          Shortage::kCloud},
                          [&](Shortage word) { return turn_of(wish, word) == turn; });
}

// Each model for itself, where the household has no way.
Result<void> each_alone(const std::vector<Room>& rooms, const Demand& demand,
                        Household* house) {
  for (size_t i = 0; i < house->ways.size(); ++i) {
    Ways& ways = house->ways[i];
    house->stays[i] = std::ranges::find(demand.stay, demand.wishes[i].name) != demand.stay.end();
    if (ways.options.empty()) continue;
    Demand alone;
    alone.wishes = {demand.wishes[i]};
    const auto chosen = choose(ask_of(rooms, alone, {ways}, 0));
    if (!chosen) return fail(chosen.error());
    house->way[i] = chosen->way[0];
  }
  if (house->ways.size() == 1) house->stays[0] = true;
  return {};
}

Result<Household> least_cost(const Machine& machine, const std::vector<Room>& rooms,
                             const Demand& demand) {
  Household house;
  const size_t count = demand.wishes.size();
  house.ways.resize(count);
  house.way.assign(count, 0);
  house.stays.assign(count, false);
  uint32_t last = 0;
  for (const Wish& wish : demand.wishes) last = std::max(last, turns_of(wish));
  for (uint32_t turn = 0; turn <= last; ++turn) {
    bool possible = true;
    for (size_t i = 0; i < count; ++i) {
      const Wish& wish = demand.wishes[i];
      if (changes_at(wish, turn)) {
        house.ways[i] = ways_of(machine, rooms, wish, {demand.prefer, turn, false});
      }
      possible = possible && !house.ways[i].options.empty();
    }
    if (!possible) continue;
    const auto chosen = choose(ask_of(rooms, demand, house.ways, turn));
    if (chosen) {
      house.way = chosen->way;
      house.stays = chosen->stays;
      house.least = {turn, chosen->cost};
      house.sound = true;
      return house;
    }
    if (chosen.error().code != Code::kDoesNotFit) return fail(chosen.error());
  }
  if (auto done = each_alone(rooms, demand, &house); !done) return fail(done.error());
  return house;
}

// Why there and not elsewhere; empty where the words before say it.
std::string because(const Machine& machine, const Wish& wish, const Ways& ways,
                    const Option& taken) {
  const Choice& choice = taken.choice;
  const uint32_t layers = layers_of(wish);
  if (layers == 0 || choice.stream || choice.resident == layers) return {};
  if (wish.device == kHost) return ", as was asked for";
  if (std::ranges::none_of(machine.devices, takes_layers)) return ": there is no accelerator";
  const auto better = [&](const Option& option) {
    return option.use + option.penalty < taken.use + taken.penalty;
  };
  const bool others = std::ranges::any_of(ways.options, better);
  if (choice.resident == 0) {
    const bool fits = std::ranges::any_of(ways.options, [](const Option& option) {
      return option.choice.resident > 0 && !option.choice.stream;
    });
    if (!fits) return ": not one fits an accelerator's budget";
    return others ? ": other models make more of the accelerators" : ": nothing here is faster";
  }
  const bool more = std::ranges::any_of(ways.options, [&](const Option& option) {
    return !option.choice.stream && option.setting == taken.setting &&
           option.choice.splits.size() == 1 && choice.splits.size() == 1 &&
           option.choice.device == choice.device && option.choice.resident > choice.resident;
  });
  if (!more) return ": as many as fit there";
  return others ? ": other models make more of the rest" : "";
}

std::string context_note(const Wish& wish) {
  if (wish.engine != EngineKind::kLlama || !wish.card) return {};
  const uint32_t trained = wish.card->context_trained;
  if (trained == 0 || wish.context <= trained) return {};
  return "; context cut to the " + std::to_string(trained) + " tokens it was trained for";
}

Placement placement_of(const Machine& machine, const Setting& setting, const Option& option) {
  const Wish& wish = setting.wish;
  const Choice& choice = option.choice;
  Placement placement;
  placement.name = wish.name;
  placement.alternative = setting.alternative.empty() ? wish.insisted : setting.alternative;
  placement.engine = wish.engine;
  placement.context = context_of(wish);
  placement.cache_k = wish.cache_k;
  placement.cache_v = wish.cache_v;
  placement.ubatch = wish.ubatch;
  placement.encoder_on_cpu = wish.encoder_on_cpu;
  placement.given_up = setting.given_up;
  placement.cloud = option.cloud;
  if (option.cloud) {
    placement.fits_alone = true;
    placement.why = "at an endpoint in the cloud: it has no place here";
    placement.given_up.emplace_back("it is in the cloud");
    return placement;
  }
  placement.layers.resident = choice.resident;
  placement.layers.streamed = choice.streamed;
  placement.layers.cpu = layers_of(wish) - choice.resident - choice.streamed;
  placement.splits = choice.splits;
  placement.split_mode = choice.split_mode;
  placement.needs = choice.needs;
  placement.formula = choice.formula;
  placement.stream = choice.stream;
  placement.why = place_text(machine, wish, choice);
  if (placement.layers.cpu > 0 && wish.device != kHost &&
      std::ranges::any_of(machine.devices, takes_layers)) {
    placement.given_up.push_back(std::to_string(placement.layers.cpu) + " of " +
                                 std::to_string(layers_of(wish)) + " layers are on the CPU");
  }
  if (choice.streamed > 0 && wish.stream.streaming == Streaming::kAuto) {
    placement.given_up.push_back(std::to_string(choice.streamed) + " of " +
                                 std::to_string(layers_of(wish)) + " layers are streamed");
  }
  return placement;
}

Placement placed(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish,
                 const Ways& ways, size_t way) {
  if (ways.options.empty()) {
    const Option& least = *ways.least;
    Placement placement = placement_of(machine, ways.settings[least.setting], least);
    std::vector<Room> limits = rooms;
    for (Room& room : limits) room.budget = limit_of(machine, rooms, wish, room.device);
    placement.why = shortage_text(limits, placement.needs) + context_note(wish);
    if (placement.stream) placement.why += ", even streamed";
    return placement;
  }
  const Option& option = ways.options[way];
  Placement placement = placement_of(machine, ways.settings[option.setting], option);
  placement.fits_alone = true;
  if (!option.cloud) placement.why += because(machine, wish, ways, option);
  placement.why += context_note(wish);
  return placement;
}

void fill_streamers(const Machine& machine, const std::vector<Room>& rooms,
                    const std::vector<size_t>& groups, const Demand& demand,
                    const Household& house, std::vector<Placement>* models) {
  std::vector<size_t> order;
  for (size_t i = 0; i < models->size(); ++i) {
    if ((*models)[i].stream && (*models)[i].fits_alone) order.push_back(i);
  }
  std::ranges::stable_sort(order, std::greater{},
                           [&](size_t i) { return demand.wishes[i].priority; });
  for (const size_t i : order) {
    const Ways& ways = house.ways[i];
    const Option& before = ways.options[house.way[i]];
    const Setting& setting = ways.settings[before.setting];
    const Option option =
        with_room(machine, rooms_beside(rooms, groups, *models, i), setting, before);
    const bool stays = (*models)[i].stays;
    (*models)[i] = placement_of(machine, setting, option);
    (*models)[i].fits_alone = true;
    (*models)[i].stays = stays;
    (*models)[i].why += context_note(setting.wish);
  }
}

std::string turns_text(const Demand& demand, const std::vector<Placement>& models,
                       const std::vector<size_t>& groups, size_t model) {
  std::string with;
  for (size_t i = 0; i < models.size(); ++i) {
    if (models[i].stays || groups[i] == groups[model]) continue;
    with += (with.empty() ? "" : ", ") + demand.wishes[i].name;
  }
  return with.empty() ? "" : "takes turns with " + with;
}

std::vector<Turn> turns_of_plan(const Plan& plan, const std::vector<size_t>& groups) {
  std::vector<Turn> turns;
  for (size_t group = 0; group < groups.size(); ++group) {
    Turn turn;
    turn.load_s = 0;
    for (size_t i = 0; i < groups.size(); ++i) {
      const Placement& model = plan.models[i];
      if (groups[i] != group || model.stays || model.cloud) continue;
      turn.models.push_back(model.name);
      if (turn.load_s && model.speed.load_s) {
        *turn.load_s += *model.speed.load_s;
      } else {
        turn.load_s.reset();
      }
    }
    if (!turn.models.empty()) turns.push_back(std::move(turn));
  }
  return turns;
}

Speed speed_of(const Machine& machine, const Setting& setting, const Placement& placement) {
  Choice choice;
  if (placement.stream) {
    choice.device = placement.stream->device;
  } else if (!placement.splits.empty()) {
    choice.device = placement.splits.back().device;
  } else if (!placement.needs.empty() && placement.needs.front().device != kHost) {
    choice.device = placement.needs.front().device;  // a command has no layers
  }
  choice.resident = placement.layers.resident;
  choice.streamed = placement.layers.streamed;
  choice.needs = placement.needs;
  choice.stream = placement.stream;
  choice.splits = placement.splits;
  choice.split_mode = placement.split_mode;
  return predict_speed(machine, setting.wish, choice);
}

}  // namespace

Bytes Placement::on(std::string_view device) const {
  Bytes sum;
  for (const Need& need : needs) {
    if (need.device == device) sum += need.total();
  }
  return sum;
}

Result<Plan> plan_once(const Machine& machine, const Demand& demand, Least* least) {
  if (auto sound = check_demand(machine, demand); !sound) return fail(sound.error());
  const auto rooms = rooms_of(machine, demand);
  if (!rooms) return fail(rooms.error());
  const auto house = least_cost(machine, *rooms, demand);
  if (!house) return fail(house.error());
  if (least != nullptr) *least = house->least;
  const std::vector<size_t> groups = groups_of(demand);
  Plan plan;
  for (size_t i = 0; i < demand.wishes.size(); ++i) {
    plan.models.push_back(
        placed(machine, *rooms, demand.wishes[i], house->ways[i], house->way[i]));
    plan.models.back().stays = house->stays[i];
  }
  if (house->sound) fill_streamers(machine, *rooms, groups, demand, *house, &plan.models);
  for (size_t i = 0; i < plan.models.size(); ++i) {
    Placement& model = plan.models[i];
    if (!model.stays) {
      const std::string turns = turns_text(demand, plan.models, groups, i);
      if (!turns.empty() && house->sound) model.given_up.push_back("it " + turns);
    }
    if (!model.fits_alone || model.cloud) continue;
    const Ways& ways = house->ways[i];
    model.speed =
        speed_of(machine, ways.settings[ways.options[house->way[i]].setting], model);
  }
  add_shares(*rooms, groups, house->sound, &plan);
  if (plan.fits) plan.turns = turns_of_plan(plan, groups);
  return plan;
}

Result<Plan> plan(const Machine& machine, const Demand& demand) {
  auto made = plan_once(machine, demand);
  if (made && !made->fits) made->fixes = find_fixes(machine, demand, *made);
  return made;
}

}  // namespace gantry
