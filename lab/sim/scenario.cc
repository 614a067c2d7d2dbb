// Households by seed.
#include "lab/sim/scenario.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "plan/example.h"

namespace gantry::sim {

namespace {

class Maker {
 public:
  Maker(uint64_t seed, std::map<int64_t, Entry>* entries)
      : rng_(seed * 0x9E3779B97F4A7C15ULL + 1), entries_(*entries) {
    s_.seed = seed;
    s_.flavour = seed % 8 == 3 ? Flavour::kHandover : seed % 8 == 5 ? Flavour::kCrowd
                                                                    : Flavour::kMixed;
  }
  Scenario make() {
    make_schedule();
    make_machine();
    make_models();
    make_clients();
    make_lives();
    return std::move(s_);
  }

 private:
  uint64_t upto(uint64_t most) { return rng_.below(most + 1); }
  bool one_in(uint64_t odds) { return rng_.below(odds) == 0; }
  Millis ms(uint64_t most) { return Millis(static_cast<int64_t>(upto(most))); }
  template <class T>
  const T& one_of(const std::vector<T>& all) { return all[rng_.below(all.size())]; }

  void make_schedule() {
    s_.fibers.switch_odds = one_of<uint32_t>({1, 2, 4, 16, 64});
    s_.fibers.lag_odds = one_of<uint32_t>({0, 0, 0, 200, 2'000});
    s_.fibers.lag_max = Millis(1 + static_cast<int64_t>(upto(100)));
    s_.faulty = s_.flavour == Flavour::kMixed && !one_in(3);
    s_.growth = s_.faulty && one_in(8);
    s_.prunes = s_.flavour == Flavour::kMixed && one_in(2);
    s_.chaos_odds = s_.flavour == Flavour::kMixed && one_in(2) ? 1 : 0;
    s_.job_threads = 1 + static_cast<uint32_t>(upto(2));
  }

  void make_machine() {
    std::vector<Bytes> cards;
    if (s_.flavour != Flavour::kCrowd) {
      for (uint64_t i = upto(2); i > 0; --i) cards.push_back(MiB(600 + 100 * upto(4)));
    }
    s_.machine = machine_with(GiB(4), cards);
    for (Device& device : s_.machine.devices) {
      if (device.kind == DeviceKind::kGpu) device.backend = "CUDA" + device.name.substr(3);
    }
    s_.config.ram_budget = Budget{MiB(600), std::nullopt};
    s_.config.idle_unload_s = s_.flavour == Flavour::kHandover ? 0 : one_of<uint32_t>({0, 1, 3});
    s_.config.wait_s = 10;
    s_.config.growth = Growth::kWarn;
    if (s_.growth) s_.config.growth = one_of<Growth>({Growth::kWarn, Growth::kStop, Growth::kMove});
  }

  void make_models() {
    const bool gpu = s_.machine.devices.size() > 1;
    const uint64_t count = 2 + upto(3);
    for (uint64_t i = 0; i < count; ++i) {
      ModelConfig model;
      model.name = "m" + std::to_string(i);
      model.parallel = 1 + static_cast<uint32_t>(upto(2));
      if (gpu && one_in(2)) {
        make_card(&model);
      } else {
        model.cmd = "serve ${PORT}";
        model.memory = MiB(60 + 60 * upto(8));
        if (s_.flavour == Flavour::kHandover) model.memory = MiB(310 + 30 * upto(9));
        if (s_.flavour == Flavour::kCrowd) model.memory = MiB(i == 0 ? 590 : 90);
      }
      names_.push_back(model.name);
      make_habits(model.name);
      s_.config.models.push_back(model);
    }
  }

  // Two fit on a card at most, so that they follow each other.
  void make_card(ModelConfig* model) {
    model->file = "/models/" + model->name + ".gguf";
    const auto width = static_cast<uint32_t>(256 * (1 + upto(3)));
    ModelCard card = llama_card({width, 4, 4, 4, 4 * width, 8000, 2048});
    model->context = 512;
    s_.cards[model->file] = card;
  }

  void make_habits(const std::string& name) {
    Habits habits;
    habits.load = ms(400);
    if (s_.flavour == Flavour::kHandover || one_in(2)) habits.release_max = ms(2'000);
    if (s_.faulty) {
      if (one_in(3)) habits.fail_odds = 2 + static_cast<uint32_t>(upto(4));
      if (one_in(2)) habits.crash_odds = 1 + static_cast<uint32_t>(upto(4));
      if (one_in(16)) habits.hang_odds = 4;
      if (one_in(4)) habits.ignore_odds = 2;
      if (one_in(6)) habits.stop_odds = 2;
      if (s_.growth && one_in(2)) habits.grow_odds = 2;
    }
    s_.habits[name] = habits;
  }

  Op submit(size_t client) {
    const int64_t n = static_cast<int64_t>(entries_.size()) + 1;
    Entry& entry = entries_[n];
    entry.n = n;
    entry.priority = one_in(3) ? static_cast<int>(upto(2)) : 0;
    if (!s_.prunes && one_in(2)) entry.key = fmt::format("key {}", n);
    if (s_.flavour == Flavour::kMixed) {
      entry.sort = one_of<Sort>({Sort::kPlain, Sort::kPlain, Sort::kPlain, Sort::kPlain,
                                 Sort::kPoison, Sort::kRefused, Sort::kFlaky});
    }
    JobPlan& plan = s_.jobs[n];
    plan.steps = 1 + static_cast<int>(upto(3));
    plan.work = ms(one_in(6) ? 4'000 : 300);
    if (!one_in(3)) plan.model = one_of(names_);
    if (s_.flavour == Flavour::kMixed) {
      if (one_in(4)) plan.delay = ms(1'500);
      if (one_in(4)) plan.deadline = Millis(1) + ms(3'000);
      if (!mine_[client].empty() && one_in(3)) plan.needs.push_back(one_of(mine_[client]));
      if (one_in(3)) plan.input = fmt::format("recording {}", n % 3);
    }
    mine_[client].push_back(n);
    return {Op::What::kSubmit, n, "", Millis{0}, Millis{0}};
  }

  Op any_op(size_t client) {
    std::vector<int64_t>& mine = mine_[client];
    const uint64_t dice = rng_.below(20);
    if (mine.empty() || dice < 6) return submit(client);
    const int64_t n = one_of(mine);
    if (dice < 8) return {Op::What::kCancel, n, "", Millis{0}, Millis{0}};
    if (dice < 9 && !entries_[n].key.empty()) return {Op::What::kAgain, n, "", Millis{0}, {}};
    if (dice < 12) {
      return {Op::What::kSession, 0, one_of(names_), ms(500), one_in(3) ? ms(800) : Millis{0}};
    }
    if (dice < 13) return {Op::What::kUnload, 0, one_of(names_), Millis{0}, Millis{0}};
    if (dice < 14) return {Op::What::kLook, n, "", Millis{0}, Millis{0}};
    if (dice < 15) return {one_in(2) ? Op::What::kList : Op::What::kWatch, n, "", ms(500), {}};
    if (dice < 16) return {Op::What::kHold, n, "", ms(2'000), Millis{0}};
    if (dice < 18) return {Op::What::kRetry, n, "", Millis{0}, Millis{0}};
    if (dice < 19 && s_.prunes) {
      return {Op::What::kPrune, n, "", one_in(2) ? Millis{0} : ms(500), Millis{0}};
    }
    return {Op::What::kPause, 0, "", ms(1'500), Millis{0}};
  }

  void make_clients() {
    if (s_.flavour == Flavour::kCrowd) return make_crowd();
    const uint64_t count = 1 + upto(2);
    mine_.resize(count);
    for (uint64_t i = 0; i < count; ++i) {
      Client client{fmt::format("user {}", i), {}, 0, false};
      const uint64_t ops = 3 + upto(7);
      for (uint64_t k = 0; k < ops; ++k) {
        if (s_.flavour == Flavour::kHandover && !one_in(4)) {
          client.ops.push_back({Op::What::kSession, 0, one_of(names_), ms(100), Millis{0}});
        } else {
          client.ops.push_back(any_op(i));
        }
      }
      s_.clients.push_back(std::move(client));
    }
  }

  // Three who never let go of the small ones for long, and one who wants the big one.
  void make_crowd() {
    mine_.resize(4);
    for (size_t i = 0; i < 3; ++i) {
      Client client{fmt::format("busy {}", i), {}, 0, false};
      for (int k = 0; k < 60; ++k) {
        client.ops.push_back({Op::What::kSession, 0, names_[1 + i % (names_.size() - 1)],
                              Millis(400) + ms(600), Millis{0}});
      }
      s_.clients.push_back(std::move(client));
    }
    Client big{"big", {}, 0, false};
    big.ops.push_back({Op::What::kPause, 0, "", ms(3'000), Millis{0}});
    big.ops.push_back({Op::What::kSession, 0, names_[0], ms(500), Millis{0}});
    s_.clients.push_back(std::move(big));
  }

  void make_lives() {
    const uint64_t count = s_.flavour == Flavour::kMixed ? upto(3) : upto(1);
    for (uint64_t i = 0; i < count; ++i) {
      Life life;
      life.fate = one_of<Fate>({Fate::kKill, Fate::kKill, Fate::kPower, Fate::kStop});
      // Many soon after the start, some late.
      life.points = 1 + upto(one_of<uint64_t>({300, 3'000, 30'000}));
      if (one_in(2)) {
        life.steps = 1 + upto(one_of<uint64_t>({10, 30, 90}));
        life.points = upto(one_of<uint64_t>({2, 12}));
      }
      life.stop_after = ms(4'000);
      life.loss = one_of<Loss>({Loss::kAll, Loss::kNone, Loss::kTail, Loss::kSome});
      life.orphan_odds = one_of<uint32_t>({0, 1, 2});
      life.reboot = one_in(4);
      life.stale = one_in(3);
      s_.lives.push_back(life);
    }
    s_.lives.push_back({});
  }

  Rng rng_;
  std::map<int64_t, Entry>& entries_;
  Scenario s_;
  std::vector<std::string> names_;
  std::vector<std::vector<int64_t>> mine_;  // the jobs of each client
};

}  // namespace

Scenario make_scenario(uint64_t seed, std::map<int64_t, Entry>* entries) {
  return Maker(seed, entries).make();
}

std::string params_of(const Entry& entry, const JobPlan& plan) {
  return nlohmann::json{{"n", entry.n},         {"sort", static_cast<int>(entry.sort)},
                        {"steps", plan.steps},  {"model", plan.model},
                        {"ms", plan.work.count()}}
      .dump();
}

}  // namespace gantry::sim
