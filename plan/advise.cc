// The search for answers. It knows no bytes: whether something fits is the planner's to say.
#include "plan/advise.h"

#include <algorithm>
#include <functional>

#include "audit/catalogue.h"
#include "model/catalogue.h"
#include "plan/catalogue.h"
#include "plan/need.h"
#include "plan/place.h"

namespace gantry {

namespace {

using Change = std::function<void(Wish*)>;

std::string short_name(const std::string& name) { return name.substr(0, name.find('@')); }

bool has_accelerator(const Machine& machine) {
  return std::ranges::any_of(machine.devices, [](const Device& device) {
    return device.kind == DeviceKind::kGpu || device.kind == DeviceKind::kIntegratedGpu;
  });
}

// Nothing streamed; every layer on an accelerator where there is one.
void whole_on(const Machine& machine, Wish* wish) {
  if (!wish->device.empty()) return;  // the user insists
  if (has_accelerator(machine)) wish->levers.cpu = false;
  wish->stream = {Streaming::kNever, std::nullopt, {}};
}

bool has_cache(const Wish& wish) {
  return wish.engine == EngineKind::kLlama && wish.card && !wish.card->kv.empty();
}

class Search {
 public:
  Search(const Machine& machine, const Demand& demand) : machine_(machine), demand_(demand) {
    for (const Wish& wish : demand.wishes) all_.push_back(wish.name);
  }

  Result<Advice> run() {
    Advice advice;
    advice.models = all_;
    advice.machine = machine_.id;
    const Demand wished = changed(whole());
    Result<Plan> made = plan_once(machine_, wished);
    if (!made) return fail(made.error());
    advice.wished = *made;
    const bool fits = consider(AnswerKind::kWhole, "as it is", wished, machine_);
    if (!fits) {
      places();
      in_turn();
    }
    if (!fits || answers_.empty()) {
      caches();
      quantisations();
      models();
      card();
    }
    if (fault_) return fail(*fault_);
    order();
    advice.answers = std::move(answers_);
    return advice;
  }

 private:
  Change whole() const {
    return [this](Wish* wish) { whole_on(machine_, wish); };
  }
  Demand changed(const Change& change) const {
    Demand out = demand_;
    for (Wish& wish : out.wishes) change(&wish);
    if (all_.size() > 1) out.together.push_back(all_);
    return out;
  }

  // Whether it fits; then it is an answer.
  bool consider(AnswerKind kind, std::string change, const Demand& demand, const Machine& machine) {
    Result<Plan> made = plan_once(machine, demand);
    if (!made || !made->fits) return false;
    if (kind != AnswerKind::kTurn && !made->together) return false;
    if (Result<void> sound = verify(machine, demand, *made); !sound) {
      fault_ = sound.error();
      return false;
    }
    const std::optional<double> seconds = seconds_of(*made, demand);
    answers_.push_back({kind, std::move(change), machine.id, demand, std::move(*made), seconds});
    return true;
  }

  // One model on the CPU, then two; and what the planner itself would do with all of it.
  void places() {
    if (has_accelerator(machine_)) {
      for (const Wish& first : demand_.wishes) {
        if (!first.device.empty()) continue;
        const Demand one = changed([&](Wish* wish) {
          wish->name == first.name ? void(wish->device = kHost) : whole_on(machine_, wish);
        });
        consider(AnswerKind::kPlace, short_name(first.name) + " on the CPU", one, machine_);
      }
    }
    consider(AnswerKind::kPlace, "layers shared with the CPU", changed([](Wish*) {}), machine_);
  }

  void in_turn() {
    if (all_.size() < 2) return;
    Demand turns = demand_;
    for (Wish& wish : turns.wishes) whole_on(machine_, &wish);
    consider(AnswerKind::kTurn, "in turn, one loaded at a time", turns, machine_);
  }

  void caches() {
    if (std::ranges::none_of(demand_.wishes, has_cache)) return;
    for (const CacheType type : {CacheType::kQ8_0, CacheType::kQ4_0}) {
      const Demand smaller = changed([&](Wish* wish) {
        whole_on(machine_, wish);
        if (!has_cache(*wish) || !wish->card->check_cache(type, type)) return;
        wish->cache_k = wish->cache_v = type;
      });
      const std::string name(cache_type_name(type));
      if (consider(AnswerKind::kCache, "KV cache in " + name, smaller, machine_)) return;
    }
  }

  // The first of these names that is enough, in the place of one model or of all at once.
  void exchange(AnswerKind kind, std::vector<std::string> (*smaller)(std::string_view)) {
    for (size_t i = 0; i < demand_.wishes.size(); ++i) {
      for (const std::string& name : smaller(demand_.wishes[i].name)) {
        Demand other = changed(whole());
        const std::string text = name + " instead of " + demand_.wishes[i].name;
        if (replace(&other, i, name) && consider(kind, text, other, machine_)) break;
      }
    }
    if (all_.size() < 2 || std::ranges::find(answers_, kind, &Answer::kind) != answers_.end()) {
      return;
    }
    Demand other = changed(whole());
    for (size_t step = 0; step < kStepsMax; ++step) {
      std::string text;
      for (size_t i = 0; i < other.wishes.size(); ++i) {
        const std::vector<std::string> names = smaller(other.wishes[i].name);
        if (!names.empty()) replace(&other, i, names.front());
        if (other.wishes[i].name == demand_.wishes[i].name) continue;
        text += (text.empty() ? "" : ", ") + other.wishes[i].name;
      }
      if (text.empty() || consider(kind, text, other, machine_)) return;
    }
  }

  // The same wish for another model; the names of `together` follow.
  static bool replace(Demand* demand, size_t index, const std::string& name) {
    Result<Wish> other = catalogue_wish(name);
    if (!other) return false;
    Wish& wish = demand->wishes[index];
    const std::string was = wish.name;
    const bool twice = std::ranges::count(demand->wishes, other->name, &Wish::name) > 0;
    if (twice) return false;
    wish.name = other->name;
    wish.card = std::move(other->card);
    wish.dry_runs.clear();
    wish.mmproj = std::move(other->mmproj);
    for (auto* groups : {&demand->together, &demand->apart}) {
      for (std::vector<std::string>& group : *groups) std::ranges::replace(group, was, wish.name);
    }
    std::ranges::replace(demand->stay, was, wish.name);
    return true;
  }

  void quantisations() { exchange(AnswerKind::kQuantisation, smaller_quantisations); }
  void models() { exchange(AnswerKind::kModel, smaller_models); }

  // The smallest one of the catalogue on which all fit together, in the place of those that are
  // there. The host stays.
  void card() {
    for (const CatalogueMachine& row : catalogue_machines()) {
      if (row.accelerator_memory.n == 0) continue;
      const std::optional<Machine> other = catalogue_machine(row.id);
      const bool one = other->devices.size() == 2;
      if (!one) continue;
      Machine machine = machine_;
      machine.id = row.id;
      std::erase_if(machine.devices,
                    [](const Device& device) { return device.kind != DeviceKind::kCpu; });
      machine.devices.push_back(other->devices[1]);
      Demand wished = changed([&](Wish* wish) { whole_on(machine, wish); });
      for (Wish& wish : wished.wishes) wish.device = wish.device == kHost ? kHost : "";
      if (consider(AnswerKind::kCard, row.id + " instead", wished, machine)) return;
    }
  }

  // Same answers by time; the others by what they give up, in the order they were found.
  void order() {
    const auto rank = [](const Answer& answer) {
      return answer.kind <= AnswerKind::kTurn ? 0 : static_cast<int>(answer.kind);
    };
    std::ranges::stable_sort(answers_, [&](const Answer& a, const Answer& b) {
      if (rank(a) != rank(b)) return rank(a) < rank(b);
      return rank(a) == 0 && a.seconds.value_or(1e300) < b.seconds.value_or(1e300);
    });
  }

  static constexpr size_t kStepsMax = 8;

  const Machine& machine_;
  const Demand& demand_;
  std::vector<std::string> all_;
  std::vector<Answer> answers_;
  std::optional<Error> fault_;
};

}  // namespace

std::optional<double> seconds_of(const Plan& plan, const Demand& demand) {
  double sum = 0;
  for (size_t i = 0; i < plan.models.size() && i < demand.wishes.size(); ++i) {
    const Wish& wish = demand.wishes[i];
    const Speed& speed = plan.models[i].speed;
    double seconds = 0;
    if (wish.engine == EngineKind::kLlama) {
      if (!speed.prefill && !speed.decode) return std::nullopt;
      if (speed.prefill) seconds += wish.usage.prompt_tokens / *speed.prefill;
      if (speed.decode && !is_encoder(wish)) seconds += wish.usage.output_tokens / *speed.decode;
    } else if (speed.real_time) {
      seconds += wish.usage.audio_s * *speed.real_time;
    } else if (wish.engine == EngineKind::kWhisper) {
      return std::nullopt;
    }
    if (!plan.models[i].stays && speed.load_s) seconds += *speed.load_s;
    sum += seconds * wish.usage.share;
  }
  return sum;
}

Result<Advice> advise(const Machine& machine, const Demand& demand) {
  return Search(machine, demand).run();
}

}  // namespace gantry
