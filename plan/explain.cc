// The ways that were not taken, and words for them.
#include "plan/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "plan/need.h"
#include "plan/place.h"
#include "plan/speed.h"
#include "plan/ways.h"

namespace gantry {

namespace {

// "Clearly less memory": of what is held on the device that the model mostly is on.
constexpr double kClearlyLess = 0.85;

std::string kind_of(const Option& option, uint32_t layers) {
  const Choice& choice = option.choice;
  if (option.cloud) return "cloud";
  if (choice.stream) {
    return "streamed on " + (choice.device == kHost ? std::string("CPU") : choice.device);
  }
  std::string kind;
  const bool tensors = choice.split_mode == SplitMode::kTensor;
  for (const Split& split : choice.splits) {
    kind += (kind.empty() ? "" : tensors ? " x " : " + ") + split.device;
  }
  if (kind.empty()) return choice.device.empty() ? "CPU" : choice.device;
  return choice.resident < layers ? kind + " and CPU" : kind;
}

double cost_of(const Option& option) { return option.use + option.penalty; }

std::string lacks_text(const std::vector<Need>& needs, const std::vector<Room>& rooms) {
  std::string out;
  for (const Need& need : needs) {
    const Bytes budget = budget_of(rooms, need.device);
    if (need.total() <= budget) continue;
    out += (out.empty() ? "" : " and ") + format_bytes(need.total() - budget) + " more on " +
           need.device;
  }
  return out;
}

Bytes lacks_of(const std::vector<Need>& needs, const std::vector<Room>& rooms) {
  Bytes sum;
  for (const Need& need : needs) sum += need.total() - budget_of(rooms, need.device);
  return sum;
}

bool same_needs(const std::vector<Need>& a, const std::vector<Need>& b) {
  return std::ranges::equal(a, b, [](const Need& x, const Need& y) {
    return x.device == y.device && x.total() == y.total();
  });
}

// One model's ways against what others leave.
class Comparison {
 public:
  Comparison(const Machine& machine, const Demand& demand, const std::vector<Room>& rooms,
             const Wish& wish, const Placement& taken)
      : machine_(machine), wish_(wish), rooms_(rooms), taken_(taken) {
    const auto limits = rooms_of(machine, demand);
    ways_ = ways_of(machine, *limits, wish, {demand.prefer, turns_of(wish), true});
    for (Room& room : rooms_) {
      room.budget = std::min(room.budget, limit_of(machine, *limits, wish, room.device));
    }
    // What was taken, as the nearest of the ways: a streamer may have been given more than it.
    const std::string kind = kind_of(as_option(taken), layers_of(wish));
    const auto like = [&](const Option& option) {
      return kind_of(option, layers_of(wish)) == kind &&
             ways_.settings[option.setting].given_up.size() <= taken.given_up.size();
    };
    for (const Option& option : ways_.options) {
      if (!like(option) || lacks_of(option.choice.needs, rooms_).n > 0) continue;
      const bool exact = same_needs(option.choice.needs, taken.needs);
      if (own_ == nullptr || exact || (!own_exact_ && cost_of(option) < cost_of(*own_))) {
        own_ = &option;
        own_exact_ = exact;
        if (exact) break;
      }
    }
  }

  Explanation take() {
    Explanation out;
    out.model = wish_.name;
    std::map<std::string, const Option*> best;
    for (const Option& option : ways_.options) {
      const Option*& kept = best[full_kind(option)];
      if (kept == nullptr || beats(option, *kept)) kept = &option;
    }
    std::vector<const Option*> order;
    for (const auto& [kind, option] : best) order.push_back(option);
    std::ranges::stable_sort(order, {}, [](const Option* option) { return cost_of(*option); });
    for (const Option* option : order) out.considered.push_back(told(*option, why_not(*option)));
    if (own_ == nullptr) return out;
    add_better(&out);
    add_cheaper(&out);
    return out;
  }

 private:
  static Option as_option(const Placement& placement) {
    Option option;
    option.cloud = placement.cloud;
    option.choice.stream = placement.stream;
    option.choice.splits = placement.splits;
    option.choice.split_mode = placement.split_mode;
    option.choice.resident = placement.layers.resident;
    for (const Need& need : placement.needs) {
      if (need.device != kHost) option.choice.device = need.device;
    }
    if (placement.stream) option.choice.device = placement.stream->device;
    return option;
  }

  std::string full_kind(const Option& option) const {
    const std::string kind = kind_of(option, layers_of(wish_));
    return ways_.settings[option.setting].steps > 0 ? kind + ", with less" : kind;
  }

  // The one that was taken; then what fits, the cheapest use first; then what lacks least.
  bool beats(const Option& a, const Option& b) const {
    if (&a == own_ || &b == own_) return &a == own_;
    const Bytes lacks_a = lacks_of(a.choice.needs, rooms_);
    const Bytes lacks_b = lacks_of(b.choice.needs, rooms_);
    if ((lacks_a.n == 0) != (lacks_b.n == 0)) return lacks_a.n == 0;
    return lacks_a.n == 0 ? cost_of(a) < cost_of(b) : lacks_a < lacks_b;
  }

  std::string why_not(const Option& option) const {
    if (&option == own_) return {};
    const std::string lacks = lacks_text(option.choice.needs, rooms_);
    if (!lacks.empty()) return "needs " + lacks;
    if (own_ == nullptr) return "the household does not fit";
    if (option.cloud) return "nothing is sent away while it fits here";
    if (option.penalty > own_->penalty) return "gives up more";
    if (option.use > own_->use) {
      return fmt::format("{:.1f} times as slow", option.use / std::max(own_->use, 1e-9));
    }
    return "no faster";
  }

  Considered told(const Option& option, const std::string& why_not) const {
    const Setting& setting = ways_.settings[option.setting];
    Considered out;
    out.kind = full_kind(option);
    out.what = option.cloud ? "at an endpoint" : place_text(machine_, setting.wish, option.choice);
    for (const std::string& words : setting.given_up) out.what += "; " + words;
    out.needs = option.choice.needs;
    out.cost = option.use;
    if (!option.cloud) out.speed = predict_speed(machine_, setting.wish, option.choice);
    out.why_not = why_not;
    return out;
  }

  void add_better(Explanation* out) const {
    const Option* best = nullptr;
    for (const Option& option : ways_.options) {
      const Bytes lacks = lacks_of(option.choice.needs, rooms_);
      // A tenth faster, or it is not worth a word.
      if (lacks.n == 0 || option.cloud || cost_of(option) > 0.9 * cost_of(*own_)) continue;
      if (best == nullptr || lacks < lacks_of(best->choice.needs, rooms_)) best = &option;
    }
    if (best != nullptr) {
      out->better = told(*best, "with " + lacks_text(best->choice.needs, rooms_));
    }
  }

  void add_cheaper(Explanation* out) const {
    std::string main = kHost;
    Bytes most;
    for (const Need& need : taken_.needs) {
      if (need.device == kHost && taken_.needs.size() > 1) continue;
      if (need.total() > most) {
        most = need.total();
        main = need.device;
      }
    }
    const auto limit = static_cast<double>(most.n) * kClearlyLess;
    const Option* best = nullptr;
    Bytes saved;
    for (const Option& option : ways_.options) {
      if (option.cloud || lacks_of(option.choice.needs, rooms_).n > 0) continue;
      Bytes there;
      for (const Need& need : option.choice.needs) {
        if (need.device == main) there += need.total();
      }
      if (static_cast<double>(there.n) > limit) continue;
      if (best != nullptr && cost_of(option) >= cost_of(*best)) continue;
      best = &option;
      saved = most - there;
    }
    if (best != nullptr) {
      out->cheaper = told(*best, "with " + format_bytes(saved) + " less on " + main);
    }
  }

  const Machine& machine_;
  const Wish& wish_;
  std::vector<Room> rooms_;  // beside the others
  const Placement& taken_;
  Ways ways_;
  const Option* own_ = nullptr;
  bool own_exact_ = false;
};

std::string rate_text(const Speed& speed) {
  std::string out;
  const auto add = [&](const std::optional<double>& rate, const char* format) {
    if (rate) out += fmt::format(fmt::runtime(format), *rate);
  };
  add(speed.decode, ", {:.3g} tokens/s");
  add(speed.real_time, ", {:.2g} s of work for a second of sound");
  return out;
}

nlohmann::json considered_json(const Considered& one) {
  nlohmann::json needs = nlohmann::json::array();
  for (const Need& need : one.needs) {
    needs.push_back({{"device", need.device}, {"total", need.total().n}});
  }
  const auto or_null = [](const std::optional<double>& value) {
    return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  };
  return {{"kind", one.kind},
          {"what", one.what},
          {"needs", needs},
          {"cost", one.cost},
          {"speed",
           {{"prefill", or_null(one.speed.prefill)}, {"decode", or_null(one.speed.decode)},
            {"real_time", or_null(one.speed.real_time)}}},
          {"why_not", one.why_not}};
}

}  // namespace

Result<std::vector<Explanation>> explain(const Machine& machine, const Demand& demand,
                                         const Plan& plan) {
  const auto rooms = rooms_of(machine, demand);
  if (!rooms) return fail(rooms.error());
  const std::vector<size_t> groups = groups_of(demand);
  std::vector<Explanation> out;
  for (size_t i = 0; i < plan.models.size(); ++i) {
    out.push_back(Comparison(machine, demand, rooms_beside(*rooms, groups, plan.models, i),
                             demand.wishes[i], plan.models[i])
                      .take());
  }
  return out;
}

std::string next_text(const std::vector<Explanation>& all) {
  std::string out;
  for (const Explanation& one : all) {
    for (const auto& [next, word] : {std::pair{&one.better, "faster"},
                                     std::pair{&one.cheaper, "cheaper"}}) {
      if (!*next) continue;
      out += fmt::format("  {}, next {} {}: {}{}\n", one.model, word, (*next)->why_not,
                         (*next)->what, rate_text((*next)->speed));
    }
  }
  return out;
}

std::string why_text(const Demand& demand, const std::vector<Explanation>& all) {
  std::string out;
  const char* unit = demand.prefer == Prefer::kEnergy ? "J" : "s";
  for (const Explanation& one : all) {
    out += one.model + ": what was considered\n";
    for (const Considered& way : one.considered) {
      std::string bytes;
      for (const Need& need : way.needs) {
        bytes += (bytes.empty() ? "" : ", ") + format_bytes(need.total()) + " on " + need.device;
      }
      out += fmt::format("  {:<28} {:>9.3g} {} a use  {}\n    {}{}\n    {}\n", way.kind, way.cost,
                         unit, way.why_not.empty() ? "taken" : way.why_not, way.what,
                         rate_text(way.speed), bytes.empty() ? "no byte here" : bytes);
    }
  }
  return out;
}

nlohmann::json explanation_json(const Explanation& one) {
  nlohmann::json considered = nlohmann::json::array();
  for (const Considered& way : one.considered) considered.push_back(considered_json(way));
  return {{"considered", considered},
          {"better", one.better ? considered_json(*one.better) : nlohmann::json(nullptr)},
          {"cheaper", one.cheaper ? considered_json(*one.cheaper) : nlohmann::json(nullptr)}};
}

}  // namespace gantry
