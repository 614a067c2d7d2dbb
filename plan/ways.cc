// Enumeration. Each setting has one table of needs, so that what its ways have in common is found
// out once.
#include "plan/ways.h"

#include <algorithm>
#include <cmath>

#include "plan/dry_runs.h"
#include "plan/need.h"
#include "plan/slice.h"
#include "plan/speed.h"
#include "plan/stream.h"

namespace gantry {

namespace {

constexpr uint32_t kSixteenth = 16, kEighth = 8;
// Where a prediction is no number; longer than anything else takes.
constexpr double kUseMax = 1e5;
// Streaming must be faster by so much than a way without it; of two that are as fast, the one
// that moves less is taken.
constexpr double kStreamMargin = 0.02, kStreamedMargin = 0.01;

uint32_t step_of(uint32_t layers, uint32_t parts) {
  return std::max(1U, (layers + parts - 1) / parts);
}

double sound(double seconds) {
  return std::isfinite(seconds) && seconds >= 0 ? std::min(seconds, kUseMax) : kUseMax;
}

Bytes missing(const std::vector<Need>& needs, const std::vector<Room>& limits) {
  Bytes sum;
  for (const Need& need : needs) sum += need.total() - budget_of(limits, need.device);
  return sum;
}

double penalty_of(const Wish& wish, Shortage word, uint32_t steps) {
  const uint32_t turn = turn_of(wish, word).value_or(0);
  return turn == 0 ? 0 : kPenalty * std::pow(kTurnRatio, turn - 1) * steps;
}

double stream_margin(const Wish& wish, const StreamPlan& plan) {
  const auto all = static_cast<double>(std::max<uint64_t>(1, wish.card->weight_bytes.n));
  return kStreamMargin + kStreamedMargin * static_cast<double>(plan.streamed.n) / all;
}

class Enumeration {
 public:
  Enumeration(const Machine& machine, std::vector<Room> limits, const Wish& wish,
              const WayAsk& ask)
      : machine_(machine), limits_(std::move(limits)), wished_(wish), ask_(ask) {
    for (const Device& device : machine.devices) {
      if (!takes_layers(device)) continue;
      there_ = true;
      if (wish.device.empty() || wish.device == device.name) devices_.push_back(device.name);
    }
    if (wish.device == kHost) devices_.clear();
    const auto turn = turn_of(wish, Shortage::kCpu);
    const bool computes = layers_of(wish) > 0 || wish.accelerated;
    const bool free = !there_ || wish.device == kHost || !computes;
    const bool elsewhere = !wish.device.empty() && wish.device != kHost;
    cpu_ = !computes ||
           (wish.levers.cpu && !elsewhere && (free || (turn && *turn <= ask.turn)));
    cpu_penalty_ = free ? 0 : penalty_of(wish, Shortage::kCpu, 1);
  }

  Ways take() {
    const auto shrink = turn_of(wished_, Shortage::kShrink);
    ways_.settings = settings_of(wished_, shrink && *shrink <= ask_.turn);
    for (setting_ = 0; setting_ < ways_.settings.size(); ++setting_) {
      table_.emplace(wish());
      add_setting();
    }
    const auto cloud = turn_of(wished_, Shortage::kCloud);
    if (cloud && *cloud <= ask_.turn) {
      Option option;
      option.cloud = true;
      option.penalty = penalty_of(wished_, Shortage::kCloud, 1);
      ways_.options.push_back(std::move(option));
    }
    return std::move(ways_);
  }

 private:
  const Wish& wish() const { return ways_.settings[setting_].wish; }

  void add_setting() {
    const Streaming streaming = wish().stream.streaming;
    const bool asked = streaming == Streaming::kAlways && can_stream(wish()) &&
                       wished_layers(wish()).value_or(0) < layers_of(wish());
    const size_t before = added_;
    if (streaming != Streaming::kNever && can_stream(wish())) add_streamed();
    if (asked && added_ > before) return;  // all weights may be too small to stream
    if (cpu_) add(Choice{"", 0, table_->of({}, budget_of(limits_, kHost)), {}, 0, {}});
    if (!wish().card && wish().accelerated) {
      for (const std::string& device : devices_) {
        add(Choice{device, 0, table_->of({{device, 0}}, {}), {}, 0, {}});
      }
    }
    if (!wish().card || layers_of(wish()) == 0) return;
    add_resident();
  }

  void add_resident() {
    const uint32_t layers = layers_of(wish());
    if (devices_.empty()) return;
    if (wish().engine == EngineKind::kWhisper) {  // all or nothing
      for (const std::string& device : devices_) add(across({{device, layers}}));
      return;
    }
    const uint32_t step = ways_.settings[setting_].steps == 0 ? 1 : step_of(layers, kSixteenth);
    for (const std::string& device : devices_) {
      for (uint32_t resident = layers; resident > 0; resident -= std::min(step, resident)) {
        if (resident == layers || cpu_) add(across({{device, resident}}));
      }
    }
    for (size_t a = 0; a < devices_.size(); ++a) {
      for (size_t b = a + 1; b < devices_.size(); ++b) add_pair(devices_[a], devices_[b], step);
    }
    if (devices_.size() > 2) {
      std::vector<Split> splits;
      add_all(layers, step_of(layers, kEighth), &splits);
    }
    add_tensor_splits();
  }

  // Every way to share out eighths between two cards, and among all of them.
  void add_tensor_splits() {
    if (!can_slice(wish())) return;
    const std::vector<std::string> cards = slicing_devices(machine_, devices_);
    if (cards.empty()) return;
    Slicing slicing(wish());
    for (size_t a = 0; a < cards.size(); ++a) {
      for (size_t b = a + 1; b < cards.size(); ++b) {
        std::vector<Split> splits;
        share_out({cards[a], cards[b]}, kShares, &slicing, &splits);
      }
    }
    std::vector<Split> splits;
    if (cards.size() > 2) share_out(cards, kShares, &slicing, &splits);
  }

  void share_out(const std::vector<std::string>& cards, uint32_t left, Slicing* slicing,
                 std::vector<Split>* splits) {
    const size_t next = splits->size();
    if (next + 1 < cards.size()) {
      for (uint32_t share = 1; share < left; ++share) {
        splits->push_back({cards[next], layers_of(wish()), share});
        share_out(cards, left - share, slicing, splits);
        splits->pop_back();
      }
      return;
    }
    splits->push_back({cards[next], layers_of(wish()), left});
    if (auto needs = slicing->needs(*splits)) {
      add({cards[next], layers_of(wish()), std::move(*needs), {}, 0, *splits, SplitMode::kTensor});
    }
    splits->pop_back();
  }

  void add_pair(const std::string& first, const std::string& second, uint32_t step) {
    const uint32_t layers = layers_of(wish());
    for (uint32_t k = step; k < layers; k += step) {
      add(across({{first, layers - k}, {second, k}}));
    }
    if (!cpu_) return;
    const uint32_t coarse = step_of(layers, kSixteenth);
    for (uint32_t a = coarse; a < layers; a += coarse) {
      for (uint32_t b = coarse; a + b < layers; b += coarse) add(across({{first, a}, {second, b}}));
    }
  }

  // Some of `left` layers on each device from the splits' next one; the last takes what is left, or
  // leaves it to the CPU.
  void add_all(uint32_t left, uint32_t step, std::vector<Split>* splits) {
    const size_t next = splits->size();
    const bool last = next + 1 == devices_.size();
    for (uint32_t k = step; k <= left; k += step) {
      splits->push_back({devices_[next], k});
      if (!last) {
        add_all(left - k, step, splits);
      } else if (k == left || cpu_) {
        add(across(*splits));
      }
      splits->pop_back();
    }
    if (last && left % step != 0) {
      splits->push_back({devices_[next], left});
      add(across(*splits));
      splits->pop_back();
    }
  }

  Choice across(const std::vector<Split>& splits) {
    uint32_t resident = 0;
    for (const Split& split : splits) resident += split.layers;
    return {splits.back().device, resident, table_->of(splits, {}), {}, 0, splits};
  }

  void add_streamed() {
    std::vector<std::string> places = devices_;
    if (cpu_) places.emplace_back(kHost);
    std::vector<Choice> like;  // on any accelerator it is the same but for the name
    for (const std::string& device : places) {
      if (device == kHost || like.empty()) like = stream_ways(machine_, wish(), device);
      for (Choice choice : like) {
        if (device != kHost) rename(device, &choice);
        add(std::move(choice));
      }
    }
  }

  static void rename(const std::string& device, Choice* choice) {
    choice->needs.front().device = choice->device = choice->stream->device = device;
  }

  void add(Choice choice) {
    ++added_;
    use_dry_runs(wish(), &choice);
    const Bytes lacks = missing(choice.needs, limits_);
    const bool fits = lacks.n == 0;
    if (!fits && !ask_.all) {
      if (!ways_.options.empty() || (ways_.least && lacks >= least_lacks_)) return;
      least_lacks_ = lacks;
      ways_.least = Option{std::move(choice), setting_, false, 0, 0, 0};
      return;
    }
    Option option;
    option.setting = setting_;
    const Wish& as = wish();
    option.use = sound(ask_.prefer == Prefer::kEnergy ? use_joules(machine_, as, choice)
                                                      : use_seconds(machine_, as, choice));
    if (choice.stream) option.use *= 1 + stream_margin(as, *choice.stream);
    option.load = sound(load_seconds(machine_, as, choice));
    if (ask_.prefer == Prefer::kEnergy) {  // as much power as while it computes
      const double seconds = sound(use_seconds(machine_, as, choice));
      option.load *= seconds > 0 ? option.use / seconds : 1;
    }
    option.penalty =
        penalty_of(wished_, Shortage::kShrink, ways_.settings[setting_].steps);
    const bool on_cpu = choice.stream
                            ? choice.stream->device == kHost
                            : choice.resident < layers_of(as) || choice.device.empty();
    if (on_cpu) option.penalty += cpu_penalty_;
    option.choice = std::move(choice);
    ways_.options.push_back(std::move(option));
  }

  const Machine& machine_;
  std::vector<Room> limits_;
  const Wish& wished_;
  const WayAsk ask_;
  std::vector<std::string> devices_;  // accelerators it may compute on
  bool there_ = false;                // the machine has an accelerator
  bool cpu_ = true;                   // layers may be computed on the CPU
  double cpu_penalty_ = 0;
  Ways ways_;
  uint32_t setting_ = 0;
  std::optional<NeedTable> table_;
  Bytes least_lacks_;
  size_t added_ = 0;
};

}  // namespace

bool takes_layers(const Device& device) {
  return device.trouble.empty() &&
         (device.kind == DeviceKind::kGpu || device.kind == DeviceKind::kIntegratedGpu);
}

Bytes limit_of(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish,
               std::string_view device) {
  const Bytes budget = budget_of(rooms, device);
  const auto found = std::ranges::find(machine.devices, device, &Device::name);
  if (!wish.cap || device == kHost || found == machine.devices.end()) return budget;
  return std::min(budget, wish.cap->bytes ? *wish.cap->bytes : wish.cap->of(found->total));
}

Ways ways_of(const Machine& machine, const std::vector<Room>& rooms, const Wish& wish,
             const WayAsk& ask) {
  std::vector<Room> limits = rooms;
  for (Room& room : limits) room.budget = limit_of(machine, rooms, wish, room.device);
  return Enumeration(machine, std::move(limits), wish, ask).take();
}

Option with_room(const Machine& machine, const std::vector<Room>& rooms, const Setting& setting,
                 Option option) {
  if (!option.choice.stream) return option;
  std::vector<Room> limits = rooms;
  for (Room& room : limits) room.budget = limit_of(machine, rooms, setting.wish, room.device);
  const auto more =
      stream_choice(machine, limits, setting.wish, option.choice.stream->device);
  if (!more) return option;
  const double now = use_seconds(machine, setting.wish, option.choice);
  const double then = use_seconds(machine, setting.wish, *more);
  if (then > now || (then == now && more->stream->streamed >= option.choice.stream->streamed)) {
    return option;
  }
  option.choice = *more;
  return option;
}

}  // namespace gantry
