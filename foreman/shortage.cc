// Memory that others hold at the moment of loading: a model waits for it, or is planned smaller.
#include <fmt/format.h>

#include <algorithm>

#include "foreman/instance.h"

namespace gantry {

namespace {

constexpr const char* kHost = "cpu";
// Others free memory when they like; our own models are gone as soon as they can.
constexpr Millis kLook{200};
constexpr Millis kLookWhileLeaving{20};

std::vector<std::string> devices_of(const Shares& shares) {
  std::vector<std::string> names;
  for (const Share& share : shares) {
    if (share.bytes > Bytes{}) names.push_back(share.device);
  }
  return names;
}

tl::unexpected<Error> changed_plan() {
  return fail(Code::kCancelled, "it is not loaded in this way any more");
}

}  // namespace

struct Scheduler::Shortfall {
  Shares missing;
  std::vector<LiveDevice> live;
  Shares rooms;  // of those looked at: what is free, less what is promised to others of ours
};

// What earlier ones were given and have not taken yet is not free, though the system says so.
Bytes Scheduler::promised_locked(const Instance& to, const std::string& device) {
  Bytes sum;
  for (const std::unique_ptr<Instance>& other : instances_) {
    if (other.get() == &to || other->finished) continue;
    const bool earlier = other->pid != 0 || other->token < to.token;
    if (!earlier || other->model->current != other.get()) continue;
    const Bytes booked = on_device(other->model->loadable.shares, device);
    if (device == kHost) {
      sum += booked - other->probe.now();
    } else if (!other->was_ready) {
      sum += booked;
    }
  }
  return sum;
}

Scheduler::Shortfall Scheduler::shortfall(Instance& instance) {
  const Shares& shares = instance.model->loadable.shares;
  Shortfall found;
  found.live = options_.live->look(devices_of(shares));
  const std::lock_guard lock(mutex_);
  instance.before.clear();
  for (const LiveDevice& device : found.live) {
    const Bytes room = device.free - promised_locked(instance, device.device) -
                       promised_elsewhere_locked(device);
    const Bytes need = on_device(shares, device.device);
    found.rooms.push_back({device.device, room});
    if (need > room) found.missing.push_back({device.device, need - room});
    if (device.device != kHost) instance.before.push_back(device);
  }
  return found;
}

// Ours that nobody uses or waits for, before anybody is asked to wait. True: one is on its way out.
bool Scheduler::evict_idle_locked(const Shortfall& short_of) {
  const auto holds = [&](const Model& model) {
    return std::ranges::any_of(short_of.missing, [&](const Share& missing) {
      return on_device(model.loadable.shares, missing.device) > Bytes{};
    });
  };
  Model* oldest = nullptr;
  for (const std::unique_ptr<Model>& model : models_) {
    if (model->state == ModelState::kStopping && holds(*model)) return true;
    if (model->state != ModelState::kReady || model->current->sessions > 0) continue;
    if (std::ranges::find(line_, model.get(), &Request::model) != line_.end()) continue;
    if (!holds(*model)) continue;
    if (oldest == nullptr || model->last_served < oldest->last_served) oldest = model.get();
  }
  if (oldest == nullptr) return false;
  stop_locked(*oldest);
  changed_.notify_all();
  return true;
}

bool Scheduler::plan_smaller(Instance& instance, const Shortfall& short_of) {
  if (!options_.replan) return false;
  Model& model = *instance.model;
  // Where it goes instead need not be where it was to go.
  std::vector<std::string> others;
  Shares rooms = short_of.rooms;
  for (const Share& budget : options_.budgets) {
    if (std::ranges::find(rooms, budget.device, &Share::device) == rooms.end()) {
      others.push_back(budget.device);
    }
  }
  for (const LiveDevice& device : options_.live->look(others)) {
    const std::lock_guard lock(mutex_);
    rooms.push_back({device.device, device.free - promised_locked(instance, device.device) -
                                        promised_elsewhere_locked(device)});
  }
  Result<Loadable> smaller = options_.replan(model.loadable.name, &rooms);
  if (!smaller) return false;
  for (const Share& room : rooms) {
    if (on_device(smaller->shares, room.device) > room.bytes) return false;
  }
  const std::lock_guard lock(mutex_);
  options_.log->info("planned_smaller", {{"model", model.loadable.name},
                                         {"why", smaller->spec.placement.why}});
  model.next = std::move(*smaller);
  instance.cancel = true;
  return true;
}

// Says what it waits for; false when nobody waits for it any more, or it shall stop.
bool Scheduler::still_wanted(Instance& instance, const std::string& waits) {
  const std::lock_guard lock(mutex_);
  if (!waits.empty() && instance.waits != waits) {
    options_.log->info("memory_wait", {{"model", instance.model->loadable.name}, {"waits", waits}});
  }
  instance.waits = waits;
  const bool asked = std::ranges::find(line_, instance.model, &Request::model) != line_.end();
  if (!asked) instance.cancel = true;
  return asked && !instance.stop;
}

// "python3 (pid 12) holds 1.2 GiB": who holds most of the first device that is short; or nothing.
std::string Scheduler::holder_text(const Shortfall& short_of) {
  const std::string& device = short_of.missing.front().device;
  std::set<int> ours;
  {
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Instance>& instance : instances_) ours.insert(instance->pid);
  }
  std::optional<Holder> holder;
  if (device == kHost) {
    holder = options_.live->largest_holder(ours);
  } else {
    const auto live = std::ranges::find(short_of.live, device, &LiveDevice::device);
    for (const Holder& one : live->holders) {
      if (!ours.contains(one.pid) && (!holder || one.bytes > holder->bytes)) holder = one;
    }
  }
  if (!holder) return {};
  return fmt::format("{} (pid {}) holds {}", holder->name, holder->pid,
                     format_bytes(holder->bytes));
}

Error Scheduler::shortage_error(const Instance& instance, const Shortfall& short_of) {
  const Loadable& loadable = instance.model->loadable;
  const Share& missing = short_of.missing.front();
  const Bytes need = on_device(loadable.shares, missing.device);
  const std::string who = holder_text(short_of);
  return {Code::kDoesNotFit,
          fmt::format("{} needs {} on {}, other programs leave {}{}", loadable.name,
                      format_bytes(need), missing.device, format_bytes(need - missing.bytes),
                      who.empty() ? "" : "; " + who),
          "end what is not needed, lower `reserve`, or raise `wait_s`"};
}

Result<void> Scheduler::take_memory(Instance& instance) {
  Model& model = *instance.model;
  if (options_.replan) {
    // The file may have been replaced since it was asked for.
    Result<Loadable> now = options_.replan(model.loadable.name, nullptr);
    if (!now) return fail(now.error());
    if (now->asked != model.loadable.asked) {
      const std::lock_guard lock(mutex_);
      model.next = std::move(*now);
      instance.cancel = true;
      return changed_plan();
    }
  }
  if (options_.live == nullptr) return {};
  if (avoid_shunned(instance)) return changed_plan();
  std::vector<Shortage> ways = model.loadable.shortage;
  if (ways.empty()) ways = {Shortage::kWait};
  const Millis begun = options_.clock->steady();
  for (;;) {
    const Shortfall short_of = shortfall(instance);
    if (short_of.missing.empty()) {
      if (!still_wanted(instance, "")) return changed_plan();
      return {};
    }
    bool leaving = false;
    {
      const std::lock_guard lock(mutex_);
      leaving = evict_idle_locked(short_of);
    }
    const bool patient = options_.clock->steady() - begun < options_.wait_max;
    if (!leaving) {
      const std::optional<Shortage> way = next_way(instance, short_of, ways, patient);
      if (!way) return fail(shortage_error(instance, short_of));
      if (*way != Shortage::kWait) return changed_plan();
    }
    const std::string who = leaving ? "" : holder_text(short_of);
    const Share& missing = short_of.missing.front();
    const std::string waits =
        fmt::format("waits for {} on {} that {} holds{}", format_bytes(missing.bytes),
                    missing.device, leaving ? "a model which is being unloaded" : "another program",
                    who.empty() ? "" : "; " + who);
    if (!still_wanted(instance, waits)) return changed_plan();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, leaving ? kLookWhileLeaving : kLook, [&] { return instance.stop; });
  }
}

// The first of the user's ways that can be gone now. Nothing: it is refused.
std::optional<Shortage> Scheduler::next_way(Instance& instance, const Shortfall& short_of,
                                            const std::vector<Shortage>& ways, bool patient) {
  for (const Shortage way : ways) {
    if (way == Shortage::kRefuse) return std::nullopt;
    if (way == Shortage::kWait && patient) return way;
    const bool smaller = way == Shortage::kShrink || way == Shortage::kCpu;
    if (smaller && plan_smaller(instance, short_of)) return way;
  }
  return std::nullopt;
}

}  // namespace gantry
