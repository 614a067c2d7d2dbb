// Figures of the candidates, signs of pressure, and the thread that looks.
#include "foreman/modes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/choice_keys.h"
#include "foreman/roster.h"
#include "foreman/scheduler.h"

namespace gantry {

namespace {

constexpr const char* kHost = "cpu";
constexpr Millis kIntervalMost{1'000};
constexpr Millis kIdle{10'000};
// Asking an accelerator takes a process of its own.
constexpr Millis kHeatKept{10'000};

// Why it is this one, for a job's record and for people.
std::string why_of(const Candidate& taken, const Candidate& first, Mode mode, double keep_up,
                   uint32_t level, const std::string& pressure) {
  if (level == 0) return taken_why(taken, mode, keep_up);
  return fmt::format("{}: {} step{} below {}, because {}; {}", mode_name(mode), level,
                     level == 1 ? "" : "s", first.name, pressure, factor_text(taken));
}

}  // namespace

Modes::Modes(ModesOptions options) : options_(options) {
  std::map<std::string, std::string> kept =
      options_.store->modes().value_or(std::map<std::string, std::string>{});
  interval_ = kIntervalMost;
  for (const ModelConfig& model : options_.config->models) {
    if (model.one_of.empty()) continue;
    State& state = states_.emplace(model.name, model).first->second;
    if (const auto set = kept.find(model.name); set != kept.end()) state.set = mode_of(set->second);
    const Millis after = std::chrono::seconds(model.step_after_s);
    if (after > Millis(0)) interval_ = std::min(interval_, after / 4);
  }
  if (options_.watch && !states_.empty()) thread_ = Thread([this] { run(); });
}

Modes::~Modes() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<Modes::State> Modes::state_of(const std::string& model) {
  const std::lock_guard lock(mutex_);
  const auto found = states_.find(model);
  if (found != states_.end()) return found->second;
  std::string known;
  for (const auto& [name, state] : states_) known += (known.empty() ? "" : ", ") + name;
  return fail(Code::kNotFound, model + " is not one of several models",
              known.empty() ? "declare one with `one_of` (docs/speech.md)" : "there are " + known);
}

Candidate Modes::candidate(const State& state, const std::string& member, const Find& find) {
  Candidate out;
  out.name = member;
  const Result<Loadable> found = find(member);
  if (!found) {
    out.trouble = found.error().message;
    return out;
  }
  out.device = found->device;
  if (found->kind != state.config.kind) {
    out.trouble = member + " is a " + found->kind + " model";
    return out;
  }
  const auto pace = options_.store->pace(found->fingerprint, found->device);
  out.measured = pace && *pace;
  out.factor = out.measured ? (*pace)->factor() : found->spec.placement.speed.real_time;
  if (const std::optional<Error> trouble = options_.scheduler->trouble(found->name)) {
    out.trouble = trouble->message;
  }
  out.fits = out.trouble.empty();
  return out;
}

std::vector<Candidate> Modes::candidates(const State& state, const Find& find,
                                         const std::map<std::string, Error>& out) {
  std::vector<Candidate> all;
  for (const std::string& member : state.config.one_of) {
    all.push_back(candidate(state, member, find));
    const auto failed = out.find(member);
    if (failed == out.end()) continue;
    all.back().fits = false;
    all.back().trouble = failed->second.message;
  }
  return all;
}

Result<Modes::Pick> Modes::pick(const std::string& model, const Find& find,
                                const std::map<std::string, Error>& out) {
  const Result<State> state = state_of(model);
  if (!state) return fail(state.error());
  const std::vector<Candidate> all = candidates(*state, find, out);
  const ModelConfig& config = state->config;
  const std::vector<size_t> rungs = ladder(all, state->mode(), config.keep_up, state->current);
  if (rungs.empty()) {
    std::string text = "none of " + model + " can be had here";
    for (const Candidate& one : all) text += "; " + one.name + ": " + one.trouble;
    return fail(out.empty() ? Code::kDoesNotFit : out.rbegin()->second.code, text,
                "see `gantry mode`");
  }
  const std::lock_guard lock(mutex_);
  State& now = states_.at(model);
  now.rungs.clear();
  for (const size_t rung : rungs) now.rungs.push_back(all[rung].name);
  const auto level = std::min(now.stepper.level(), static_cast<uint32_t>(rungs.size() - 1));
  const Candidate& taken = all[rungs[level]];
  // A step down is for now: it says nothing about whom the mode takes.
  now.current = all[rungs.front()].name;
  now.device = taken.device;
  ++picks_;
  changed_.notify_all();
  return Pick{taken.name,
              why_of(taken, all[rungs.front()], state->mode(), config.keep_up, level,
                     now.pressure),
              now.stepper.level()};
}

bool Modes::holds(const std::string& model, uint32_t level) {
  const std::lock_guard lock(mutex_);
  return states_.at(model).stepper.level() <= level;
}

Result<ModeStatus> Modes::set(const std::string& model, std::optional<Mode> mode) {
  const std::string name = options_.roster->canonical(model);
  Result<State> known = state_of(name);
  if (!known) return fail(known.error());
  Result<void> kept = options_.store->set_mode(name, mode ? mode_name(*mode) : "");
  if (!kept) return fail(kept.error());
  {
    const std::lock_guard lock(mutex_);
    State& state = states_.at(name);
    state.set = mode;
    state.current.clear();  // the user's word, not a habit
    known = state;
  }
  options_.log->info("mode_set",
                     {{"model", name}, {"mode", std::string(mode_name(known->mode()))}});
  return status_of(*known);
}

ModeStatus Modes::status_of(const State& state) {
  ModeStatus out;
  out.model = state.config.name;
  out.mode = state.mode();
  out.configured = state.config.mode;
  out.level = state.stepper.level();
  if (out.level > 0) out.pressure = state.pressure;
  out.changes = state.changes;
  const auto find = [this](const std::string& name) { return options_.roster->find(name, true); };
  out.members = candidates(state, find, {});
  const double keep_up = state.config.keep_up;
  const std::vector<size_t> rungs = ladder(out.members, out.mode, keep_up, state.current);
  if (rungs.empty()) return out;
  out.level = std::min(out.level, static_cast<uint32_t>(rungs.size() - 1));
  const Candidate& taken = out.members[rungs[out.level]];
  out.taken = taken.name;
  out.why = why_of(taken, out.members[rungs.front()], out.mode, keep_up, out.level,
                   state.pressure);
  return out;
}

std::vector<ModeStatus> Modes::status() {
  std::vector<State> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, state] : states_) all.push_back(state);
  }
  std::vector<ModeStatus> out;
  for (const State& state : all) out.push_back(status_of(state));
  return out;
}

// Only the thread's, or the test's in its place.
bool Modes::is_hot(const std::string& device) {
  const Millis now = options_.clock->steady();
  const auto known = hot_.find(device);
  if (known != hot_.end() && now - known->second.first < kHeatKept) return known->second.second;
  const std::vector<LiveDevice> live = options_.live->look({device});
  const bool hot = !live.empty() && live.front().hot;
  hot_[device] = {now, hot};
  return hot;
}

Signs Modes::signs_of(const State& state, const LineWaits& waits) {
  Signs signs;
  signs.waiting = waits.waiting;
  signs.busy = waits.busy;
  signs.starved = waits.starved;
  signs.device = state.device;
  const std::vector<LiveDevice> host = options_.live->look({kHost});
  if (!host.empty()) signs.stalled = host.front().stalled;
  if (state.device != kHost && !state.device.empty()) {
    signs.throttled = is_hot(state.device);
  } else if (!host.empty()) {
    signs.temperature_c = host.front().temperature_c;
  }
  const uint32_t level = state.stepper.level();
  if (level > 0 && level <= state.rungs.size()) {
    const Result<Loadable> above = options_.roster->find(state.rungs[level - 1], true);
    signs.room_above = above && options_.scheduler->has_memory(*above);
  }
  return signs;
}

bool Modes::look_at(const std::string& model) {
  const Result<State> before = state_of(model);
  if (!before || before->config.step_after_s == 0 || before->rungs.empty()) return false;
  const LineWaits waits = options_.scheduler->waits(before->config.one_of);
  if (!waits.used && before->stepper.level() == 0) return false;
  const Strain strain =
      strain_of(signs_of(*before, waits), std::chrono::seconds(before->config.step_after_s));
  const Millis now = options_.clock->steady();
  const std::lock_guard lock(mutex_);
  State& state = states_.at(model);
  const uint32_t level = state.stepper.level();
  if (!state.stepper.see(now, strain, static_cast<uint32_t>(state.rungs.size() - 1))) return true;
  const bool down = state.stepper.level() > level;
  if (down) state.pressure = strain.why;
  ++state.changes;
  const std::string& to = state.rungs[state.stepper.level()];
  options_.log->info(down ? "mode_stepped_down" : "mode_stepped_up",
                     {{"model", model},
                      {"level", std::to_string(state.stepper.level())},
                      {"to", to},
                      {"why", down ? strain.why : "calm"}});
  return true;
}

bool Modes::look() {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, state] : states_) names.push_back(name);
  }
  bool again = false;
  for (const std::string& name : names) again = look_at(name) || again;
  return again;
}

void Modes::run() {
  bool again = false;
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (again) changed_.wait_for(lock, interval_, [&] { return ending_; });
    else changed_.wait_for(lock, kIdle, [&] { return ending_ || picks_ != seen; });
    if (ending_) return;
    const bool picked = std::exchange(seen, picks_) != picks_;
    lock.unlock();
    again = look() || picked;
    lock.lock();
  }
}

}  // namespace gantry
