// Budgets, checks, sums and words.
#include "plan/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/limits.h"
#include "plan/need.h"
#include "plan/speed.h"
#include "plan/stream.h"
#include "plan/ways.h"

namespace gantry {

namespace {

// Says in its note when less is there than was asked for.
Room room_of(const std::string& device, const std::optional<Budget>& wanted, Bytes total,
             Bytes available, double fraction) {
  Room room{device, {static_cast<uint64_t>(static_cast<double>(available.n) * fraction)}, {}};
  if (!wanted) return room;
  // A share of the total; bytes as they were said, even beyond the total.
  const Bytes asked = wanted->bytes ? *wanted->bytes : wanted->of(total);
  room.budget = std::min(asked, available);
  if (asked > available) {
    room.note = "the budget of " + format_bytes(asked) + " on " + device + " is more than the " +
                format_bytes(available) + " to be had there now";
  }
  return room;
}

Bytes reserve_of(const Budget& reserve, Bytes total) {
  return reserve.bytes ? *reserve.bytes : reserve.of(total);
}

Result<void> check_budget(const std::optional<Budget>& budget, const char* flag) {
  if (!budget) return {};
  const bool zero = budget->bytes ? budget->bytes->n == 0 : !(budget->fraction.value_or(0) > 0);
  if (!zero) return {};
  return fail(Code::kUsage, std::string("the budget of ") + flag + " is zero",
              "give bytes such as 2GiB or a share such as 80%");
}

constexpr double kWeightMin = 1e-3, kWeightMax = 1e3, kUsageMax = 1e9;

Result<void> check_wish(const Wish& wish) {
  const bool engine = wish.engine == EngineKind::kLlama || wish.engine == EngineKind::kWhisper;
  if (wish.name.empty()) return fail(Code::kUsage, "a model without a name");
  if (engine && !wish.card) return fail(Code::kUsage, wish.name + " has no model file");
  if (wish.parallel == 0 || wish.parallel > kSequencesMax) {
    return fail(Code::kUsage, wish.name + ": sequences at once must be 1 to " +
                                  std::to_string(kSequencesMax));
  }
  if (wish.ubatch == 0 || wish.ubatch > kUbatchMax) {
    return fail(Code::kUsage,
                wish.name + ": a physical batch has 1 to " + std::to_string(kUbatchMax) +
                    " tokens");
  }
  if (wish.context > kContextMax) {
    return fail(Code::kUsage, wish.name + ": a context of more than " +
                                  std::to_string(kContextMax) + " tokens");
  }
  // What a guess did to a recurrent state cannot be taken back.
  if (wish.draft && wish.card && wish.card->state_bytes.n > 0) {
    return fail(Code::kUnsupported, wish.name + " keeps a recurrent state and takes no draft model",
                "leave `draft` away");
  }
  if (wish.engine != EngineKind::kLlama || !wish.card || wish.card->kv.empty()) return {};
  return wish.card->check_cache(wish.cache_k, wish.cache_v);
}

// Weights, shares and levers of a wish.
Result<void> check_levers(const Wish& wish) {
  const auto sane = [](double n) { return n >= kWeightMin && n <= kWeightMax; };
  if (!sane(wish.priority) || !sane(wish.usage.share)) {
    return fail(Code::kUsage, wish.name + ": priority and share of use are 0.001 to 1000");
  }
  for (const double n : {wish.usage.prompt_tokens, wish.usage.output_tokens, wish.usage.audio_s}) {
    if (!(n >= 0 && n <= kUsageMax)) {
      return fail(Code::kUsage, wish.name + ": one use is longer than anything is");
    }
  }
  if (wish.alternatives.size() > kAlternativesMax) {
    return fail(Code::kUsage, wish.name + " has more than " + std::to_string(kAlternativesMax) +
                                  " alternatives");
  }
  for (const Alternative& other : wish.alternatives) {
    if (other.name.empty()) return fail(Code::kUsage, wish.name + ": an alternative has no name");
    const bool speech = other.card.format == ModelFormat::kWhisper;
    if (speech != (wish.engine == EngineKind::kWhisper)) {
      return fail(Code::kUsage, other.name + " is no alternative to " + wish.name +
                                    ": it runs on another engine");
    }
  }
  if (auto sound = check_budget(wish.cap, (wish.name + "'s cap").c_str()); !sound) return sound;
  std::set<Shortage> words(wish.shortage.begin(), wish.shortage.end());
  if (words.size() == wish.shortage.size()) return {};
  return fail(Code::kUsage, wish.name + ": a word on shortage is there twice");
}

// The device it was fixed to.
Result<void> check_place(const Machine& machine, const Wish& wish) {
  if (auto sound = check_levers(wish); !sound) return sound;
  const bool computes = layers_of(wish) > 0 || wish.accelerated;
  const bool only_cpu = wish.device == kHost || std::ranges::none_of(machine.devices, takes_layers);
  if (computes && only_cpu && !wish.levers.cpu) {
    return fail(Code::kUsage,
                wish.name + " may not be on the CPU, and there is no accelerator that it may use",
                "allow the CPU, or use a machine with an accelerator");
  }
  if (wish.device.empty() || wish.device == kHost) return {};
  const auto found = std::ranges::find(machine.devices, wish.device, &Device::name);
  if (found == machine.devices.end()) {
    std::string known = "cpu";
    for (const Device& device : machine.devices) {
      if (takes_layers(device)) known += ", " + device.name;
    }
    return fail(Code::kUsage, wish.name + " is to be on " + wish.device + ", which is not there",
                "use one of " + known);
  }
  if (!takes_layers(*found)) {
    return fail(Code::kUsage,
                wish.name + " is to be on " + wish.device + ", " +
                    (found->trouble.empty() ? "which takes no layers" : found->trouble),
                "use another device");
  }
  if (layers_of(wish) > 0 || wish.accelerated) return {};
  return fail(Code::kUsage, wish.name + " has no layers to put on " + wish.device);
}

// Names in groups are models, and no two both together and apart.
Result<void> check_household(const Demand& demand, const std::set<std::string>& names) {
  const auto known = [&](const std::vector<std::string>& list, const char* key) -> Result<void> {
    for (const std::string& name : list) {
      if (!names.contains(name)) {
        return fail(Code::kUsage, std::string(key) + " names " + name + ", which is not planned");
      }
    }
    return {};
  };
  if (auto sound = known(demand.stay, "stay"); !sound) return sound;
  for (const auto& list : demand.together) {
    if (auto sound = known(list, "together"); !sound) return sound;
  }
  const std::vector<size_t> groups = groups_of(demand);
  const auto group_of = [&](const std::string& name) {
    const auto at = std::ranges::find(demand.wishes, name, &Wish::name);
    return groups[static_cast<size_t>(at - demand.wishes.begin())];
  };
  for (const auto& list : demand.apart) {
    if (auto sound = known(list, "apart"); !sound) return sound;
    std::set<size_t> seen;
    for (const std::string& name : std::set<std::string>(list.begin(), list.end())) {
      if (!seen.insert(group_of(name)).second) {
        return fail(Code::kUsage, name + " is to be loaded together with another, and never");
      }
      if (std::ranges::find(demand.stay, name) != demand.stay.end() && list.size() > 1) {
        return fail(Code::kUsage, name + " is to stay loaded, and never beside another");
      }
    }
  }
  return {};
}

// "tensors split over gpu0 (5 of 8) and gpu1 (3 of 8), which compute at once: 9.1 ms a token less
// than in turn, and 3.0 ms for the link of 12.5 GB/s"
std::string tensor_text(const Machine& machine, const Wish& wish, const Choice& choice) {
  uint32_t all = 0;
  for (const Split& split : choice.splits) all += split.share;
  std::string out;
  for (const Split& split : choice.splits) {
    const bool last = &split == &choice.splits.back();
    out += fmt::format("{}{} ({} of {})", out.empty() ? "" : last ? " and " : ", ", split.device,
                       split.share, all);
  }
  const AtOnce gain = at_once(machine, wish, choice);
  return fmt::format("tensors split over {}, which compute at once: {:.2g} ms a token less than "
                     "in turn, and {:.2g} ms for the link of {:.3g} GB/s",
                     out, 1e3 * gain.saved_s, 1e3 * gain.link_s, gain.link_bytes_per_s / 1e9);
}

}  // namespace

Result<std::vector<Room>> rooms_of(const Machine& machine, const Demand& demand) {
  for (const auto& [budget, flag] : {std::pair{demand.ram, "--ram-budget"},
                                     std::pair{demand.vram, "--vram-budget"}}) {
    if (auto sound = check_budget(budget, flag); !sound) return fail(sound.error());
  }
  std::vector<Room> rooms;
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kCpu) continue;
    Room room = room_of(device.name, demand.vram, device.total, device.free, 1.0);
    if (demand.reserve) {
      room.budget = std::min(room.budget, device.free - reserve_of(*demand.reserve, device.total));
    }
    rooms.push_back(std::move(room));
  }
  Bytes total = machine.memory.total;
  if (machine.memory.cgroup_limit) total = std::min(total, *machine.memory.cgroup_limit);
  rooms.push_back(
      room_of(kHost, demand.ram, total, machine.memory.usable(), kPlanRamFraction));
  return rooms;
}

Bytes budget_of(const std::vector<Room>& rooms, std::string_view device) {
  const auto found = std::ranges::find(rooms, device, &Room::device);
  return found == rooms.end() ? Bytes{} : found->budget;
}

std::vector<size_t> groups_of(const Demand& demand) {
  std::vector<size_t> group(demand.wishes.size());
  for (size_t i = 0; i < group.size(); ++i) group[i] = i;
  for (const std::vector<std::string>& names : demand.together) {
    std::optional<size_t> first;
    for (size_t i = 0; i < group.size(); ++i) {
      if (std::ranges::find(names, demand.wishes[i].name) == names.end()) continue;
      const size_t joined = group[i], into = group[first.value_or(i)];
      first = first.value_or(i);
      for (size_t& each : group) {
        if (each == joined) each = into;
      }
    }
  }
  return group;
}

Bytes held_at_most(const std::vector<size_t>& groups, const std::vector<Placement>& models,
                   std::string_view device) {
  Bytes stays;
  std::vector<Bytes> turns(groups.size());
  for (size_t i = 0; i < models.size(); ++i) {
    (models[i].stays ? stays : turns[groups[i]]) += models[i].on(device);
  }
  return stays + *std::ranges::max_element(turns);
}

std::vector<Room> rooms_beside(const std::vector<Room>& rooms,
                               const std::vector<size_t>& groups,
                               std::vector<Placement> models, size_t model) {
  std::vector<Room> left = rooms;
  // Where it takes turns, only its own group is there besides what stays.
  for (size_t i = 0; i < models.size(); ++i) {
    const bool beside = models[i].stays || models[model].stays || groups[i] == groups[model];
    if (i == model || !beside) models[i].needs.clear();
  }
  models[model].needs.clear();
  for (Room& room : left) room.budget -= held_at_most(groups, models, room.device);
  return left;
}

void add_shares(const std::vector<Room>& rooms, const std::vector<size_t>& groups, bool sound,
                Plan* plan) {
  plan->fits = sound && std::ranges::all_of(plan->models, &Placement::fits_alone);
  for (const Room& room : rooms) {
    DeviceShare share;
    share.name = room.device;
    share.budget = room.budget;
    for (const Placement& model : plan->models) {
      for (const Need& need : model.needs) {
        if (need.device != room.device) continue;
        share.weights += need.weights;
        share.kv += need.kv;
        share.compute += need.compute;
        share.overhead += need.overhead;
      }
    }
    share.total = share.weights + share.kv + share.compute + share.overhead;
    share.peak = held_at_most(groups, plan->models, room.device);
    if (share.peak > share.budget) plan->fits = false;
    if (!room.note.empty()) plan->notes.push_back(room.note);
    plan->devices.push_back(std::move(share));
  }
  plan->together = plan->fits && std::ranges::all_of(plan->models, &Placement::stays);
}

std::string shortage_text(const std::vector<Room>& rooms, const std::vector<Need>& needs) {
  std::string out;
  for (const Need& need : needs) {
    const Bytes budget = budget_of(rooms, need.device);
    if (need.total() <= budget) continue;
    out += out.empty() ? "does not fit: needs " : " and ";
    out += format_bytes(need.total()) + " of the " + format_bytes(budget) + " on " + need.device;
  }
  return out;
}

std::string place_text(const Machine& machine, const Wish& wish, const Choice& choice) {
  if (wish.engine == EngineKind::kMedia) return "the media decoder, a process of its own";
  if (wish.engine == EngineKind::kVoice) return "on the CPU: its files and what its engine adds";
  if (wish.engine == EngineKind::kCommand && !choice.device.empty()) {
    return "an external command, computing on " + choice.device;
  }
  if (wish.engine == EngineKind::kCommand) {
    return wish.declared ? "an external command with the memory declared for it"
                         : "an external command of unknown need: it has host memory to itself";
  }
  if (choice.stream) return stream_text(machine, wish, choice);
  const uint32_t layers = layers_of(wish);
  const std::string all = "all " + std::to_string(layers) + " layers on ";
  if (choice.split_mode == SplitMode::kTensor) return tensor_text(machine, wish, choice);
  if (choice.splits.size() > 1) {
    std::string out;
    for (const Split& split : choice.splits) {
      out += (out.empty() ? "" : ", ") + std::to_string(split.layers) + " on " + split.device;
    }
    const uint32_t rest = layers - choice.resident;
    if (rest > 0) out += ", " + std::to_string(rest) + " on the CPU";
    return std::to_string(layers) + " layers: " + out;
  }
  if (choice.resident == layers) return all + choice.device;
  if (choice.resident > 0) {
    return std::to_string(choice.resident) + " of " + std::to_string(layers) + " layers on " +
           choice.device + ", the others on the CPU";
  }
  return all + "the CPU";
}

Result<void> check_demand(const Machine& machine, const Demand& demand) {
  if (demand.wishes.empty()) return fail(Code::kUsage, "no model to plan for");
  if (demand.wishes.size() > kModelsMax) {
    return fail(Code::kUsage, "more than " + std::to_string(kModelsMax) + " models");
  }
  std::set<std::string> names;
  for (const Wish& wish : demand.wishes) {
    if (auto sound = check_wish(wish); !sound) return sound;
    if (auto sound = check_place(machine, wish); !sound) return sound;
    if (!names.insert(wish.name).second) {
      return fail(Code::kUsage, wish.name + " is asked for twice");
    }
  }
  return check_household(demand, names);
}

}  // namespace gantry
