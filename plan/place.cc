// Where each model goes, one at a time.
#include "plan/place.h"

#include <algorithm>
#include <set>

#include "base/limits.h"
#include "plan/need.h"
#include "plan/stream.h"

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

Result<void> check_budget(const std::optional<Budget>& budget, const char* flag) {
  if (!budget) return {};
  const bool zero = budget->bytes ? budget->bytes->n == 0 : !(budget->fraction.value_or(0) > 0);
  if (!zero) return {};
  return fail(Code::kUsage, std::string("the budget of ") + flag + " is zero",
              "give bytes such as 2GiB or a share such as 80%");
}

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
  if (wish.engine != EngineKind::kLlama || !wish.card || wish.card->kv.empty()) return {};
  return wish.card->check_cache(wish.cache_k, wish.cache_v);
}

bool fits(const std::vector<Room>& rooms, const std::vector<Need>& needs) {
  return std::ranges::all_of(needs, [&](const Need& need) {
    return need.total() <= budget_of(rooms, need.device);
  });
}

Bytes missing(const std::vector<Room>& rooms, const std::vector<Need>& needs) {
  Bytes sum;
  for (const Need& need : needs) sum += need.total() - budget_of(rooms, need.device);
  return sum;
}

// An engine can put layers there. NPUs come with their engine.
bool takes_layers(const Device& device) {
  return device.kind == DeviceKind::kGpu || device.kind == DeviceKind::kIntegratedGpu;
}

// The most layers that fit; needs grow with them, so a binary search finds it.
Choice most_layers(const std::vector<Room>& rooms, const Wish& wish, const std::string& device) {
  const uint32_t layers = layers_of(wish);
  const Bytes host = budget_of(rooms, kHost);
  uint32_t low = 0, high = layers;
  if (wish.engine == EngineKind::kWhisper && high > 0) low = high - 1;  // all or nothing
  while (low < high) {
    const uint32_t middle = high - (high - low) / 2;
    if (fits(rooms, needs_of(wish, device, middle, host))) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const bool found = low > 0 && fits(rooms, needs_of(wish, device, low, host));
  const uint32_t resident = found ? low : 0;
  return {resident == 0 ? "" : device, resident, needs_of(wish, device, resident, host), {}, 0, {}};
}

Choice choose_whole(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish) {
  Choice best{"", 0, needs_of(wish, "", 0, budget_of(rooms, kHost)), {}, 0, {}};
  if (layers_of(wish) == 0) return best;
  for (const Device& device : machine.devices) {
    if (!takes_layers(device)) continue;
    Choice choice = most_layers(rooms, wish, device.name);
    if (choice.resident > best.resident) best = std::move(choice);
  }
  if (best.resident > 0 || fits(rooms, best.needs)) return best;
  // Nothing fits: the way that misses least, all layers on one device or none.
  for (const Device& device : machine.devices) {
    if (!takes_layers(device)) continue;
    Choice choice{device.name, layers_of(wish), {}, {}, 0, {}};
    choice.needs = needs_of(wish, device.name, choice.resident, budget_of(rooms, kHost));
    if (missing(rooms, choice.needs) < missing(rooms, best.needs)) best = std::move(choice);
  }
  return best;
}

const Device* device_of(const Machine& machine, const std::string& name) {
  const auto found = std::ranges::find(machine.devices, name, &Device::name);
  return found == machine.devices.end() ? nullptr : &*found;
}

// Bandwidth over bytes: the bound of decoding one sequence, where every weight is read per token.
Speed speed_of(const Machine& machine, const Wish& wish, const Choice& choice) {
  const Touched touched = touched_per_token(wish, choice.resident);
  double seconds = 0;
  for (const auto& [bytes, name] : {std::pair{touched.accelerator, choice.device},
                                    std::pair{touched.host, std::string(kHost)}}) {
    if (bytes <= 0) continue;
    const Device* device = device_of(machine, name);
    if (device == nullptr || !device->bandwidth.memory_bytes_per_s) return {};
    seconds += bytes / *device->bandwidth.memory_bytes_per_s;
  }
  Speed speed;
  if (seconds > 0) speed.decode = 1 / seconds;
  return speed;
}

// The accelerator with most room.
std::string place_of_least(const Machine& machine, const std::vector<Room>& rooms) {
  std::string best = kHost;
  for (const Device& device : machine.devices) {
    if (!takes_layers(device)) continue;
    if (best == kHost || budget_of(rooms, device.name) > budget_of(rooms, best)) best = device.name;
  }
  return best;
}

// The first device that it can stream on: accelerators in the machine's order, else the CPU.
std::optional<Choice> choose_stream(const Machine& machine, const std::vector<Room>& rooms,
                                    const Wish& wish) {
  for (const Device& device : machine.devices) {
    if (!takes_layers(device)) continue;
    if (auto choice = stream_choice(machine, rooms, wish, device.name)) return choice;
  }
  return stream_choice(machine, rooms, wish, kHost);
}

// Whole where that fits; streamed where it does not, where that is predicted to decode faster than
// layers computed on the CPU, or where so many layers were asked for.
Choice choose(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish) {
  const Streaming streaming = wish.stream.streaming;
  Choice whole = choose_whole(machine, rooms, wish);
  if (streaming == Streaming::kNever || !can_stream(wish)) return whole;
  const bool there = fits(rooms, whole.needs);
  if (streaming == Streaming::kAuto && there && whole.resident == layers_of(wish)) return whole;
  if (streaming == Streaming::kAlways && *wished_layers(wish) >= layers_of(wish)) return whole;
  const bool none = std::ranges::none_of(machine.devices, takes_layers);
  if (streaming == Streaming::kAuto && there && none) return whole;
  auto streamed = choose_stream(machine, rooms, wish);
  if (!streamed) {
    Choice least = least_stream(wish, none ? kHost : place_of_least(machine, rooms));
    if (least.streamed == 0) return whole;  // all of its weights are too small to stream
    if (streaming == Streaming::kAlways) return least;
    return there || missing(rooms, whole.needs) < missing(rooms, least.needs) ? whole : least;
  }
  if (streaming == Streaming::kAlways || !there) return *streamed;
  const Speed split = speed_of(machine, wish, whole);
  const Speed stream = stream_speed(machine, wish, *streamed);
  const bool faster = split.decode && stream.decode && *stream.decode > *split.decode;
  return faster ? *streamed : whole;
}

std::string shortage(const std::vector<Room>& rooms, const std::vector<Need>& needs) {
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
  if (wish.engine == EngineKind::kCommand) {
    return wish.declared ? "an external command with the memory declared for it"
                         : "an external command of unknown need: it has host memory to itself";
  }
  if (choice.stream) return stream_text(machine, wish, choice);
  const uint32_t layers = layers_of(wish);
  const std::string all = "all " + std::to_string(layers) + " layers on ";
  if (choice.resident == layers) return all + choice.device;
  if (choice.resident > 0) {
    return std::to_string(choice.resident) + " of " + std::to_string(layers) + " layers on " +
           choice.device + ", as many as fit there; the others on the CPU";
  }
  const bool none = std::ranges::none_of(machine.devices, takes_layers);
  return all + "the CPU: " +
         (none ? "there is no accelerator" : "not one fits an accelerator's budget");
}

std::string context_note(const Wish& wish) {
  if (wish.engine != EngineKind::kLlama || !wish.card) return {};
  const uint32_t trained = wish.card->context_trained;
  if (trained == 0 || wish.context <= trained) return {};
  return "; context cut to the " + std::to_string(trained) + " tokens it was trained for";
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
    rooms.push_back(room_of(device.name, demand.vram, device.total, device.free, 1.0));
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

Placement place(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish) {
  Choice choice = choose(machine, rooms, wish);
  Placement placement;
  placement.name = wish.name;
  placement.engine = wish.engine;
  placement.context = context_of(wish);
  placement.layers.resident = choice.resident;
  placement.layers.streamed = choice.streamed;
  placement.layers.cpu = layers_of(wish) - choice.resident - choice.streamed;
  placement.fits_alone = fits(rooms, choice.needs);
  if (placement.fits_alone) {
    placement.speed = choice.stream ? stream_speed(machine, wish, choice)
                                    : speed_of(machine, wish, choice);
  }
  placement.why = placement.fits_alone ? place_text(machine, wish, choice)
                                       : shortage(rooms, choice.needs);
  placement.why += context_note(wish);
  if (choice.stream && !placement.fits_alone) placement.why += ", even streamed";
  placement.needs = std::move(choice.needs);
  placement.stream = std::move(choice.stream);
  return placement;
}

void add_shares(const std::vector<Room>& rooms, Plan* plan) {
  plan->fits = std::ranges::all_of(plan->models, &Placement::fits_alone);
  plan->together = plan->fits;
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
        share.peak = std::max(share.peak, need.total());
      }
    }
    share.total = share.weights + share.kv + share.compute + share.overhead;
    if (share.total > share.budget) plan->together = false;
    if (!room.note.empty()) plan->notes.push_back(room.note);
    plan->devices.push_back(std::move(share));
  }
}

Result<void> check_demand(const Demand& demand) {
  if (demand.wishes.empty()) return fail(Code::kUsage, "no model to plan for");
  if (demand.wishes.size() > kModelsMax) {
    return fail(Code::kUsage, "more than " + std::to_string(kModelsMax) + " models");
  }
  std::set<std::string> names;
  for (const Wish& wish : demand.wishes) {
    if (auto sound = check_wish(wish); !sound) return sound;
    if (!names.insert(wish.name).second) {
      return fail(Code::kUsage, wish.name + " is asked for twice");
    }
  }
  return {};
}

Result<Plan> plan_once(const Machine& machine, const Demand& demand) {
  if (auto sound = check_demand(demand); !sound) return fail(sound.error());
  const auto rooms = rooms_of(machine, demand);
  if (!rooms) return fail(rooms.error());
  Plan plan;
  for (const Wish& wish : demand.wishes) plan.models.push_back(place(machine, *rooms, wish));
  add_shares(*rooms, &plan);
  return plan;
}

}  // namespace gantry
