// Predictions against measurements: what a load is remembered by, and workers that outgrow their
// lease.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "foreman/instance.h"

namespace gantry {

namespace {

constexpr const char* kHost = "cpu";

std::vector<std::string> accelerators_of(const Shares& shares) {
  std::vector<std::string> names;
  for (const Share& share : shares) {
    if (share.device != kHost) names.push_back(share.device);
  }
  return names;
}

const LiveDevice* find(const std::vector<LiveDevice>& all, const std::string& device) {
  const auto found = std::ranges::find(all, device, &LiveDevice::device);
  return found == all.end() ? nullptr : &*found;
}

// What the system says that a process holds, else by how much less is free than before.
std::optional<Bytes> taken(const LiveDevice* before, const LiveDevice* now, int pid) {
  if (now == nullptr) return std::nullopt;
  const auto holder = std::ranges::find(now->holders, pid, &Holder::pid);
  if (holder != now->holders.end() && holder->bytes > Bytes{}) return holder->bytes;
  if (before == nullptr || before->free <= now->free) return std::nullopt;
  return before->free - now->free;
}

std::string_view growth_name(Growth growth) {
  if (growth == Growth::kWarn) return "warn";
  return growth == Growth::kStop ? "stop" : "move";
}

}  // namespace

// Called on the sampler's thread: what is to be done is the keeper's.
void Scheduler::watch_growth(Instance& instance) {
  const Loadable& loadable = instance.model->loadable;
  const bool ends = loadable.growth != Growth::kWarn;
  instance.probe.tell_growth(growth_limit(on_device(loadable.shares, kHost)),
                             [&instance, ends](Bytes) {
                               instance.grown = true;
                               // A load can take minutes; a loaded one is looked at often enough.
                               if (ends && !instance.was_ready) instance.cancel = true;
                             });
}

// The first row of its history: what is known once it has loaded.
void Scheduler::note_load(Instance& instance) {
  const Loadable& loadable = instance.model->loadable;
  LoadSeen& seen = instance.seen;
  const bool known = seen.id > 0;  // grown while it loaded
  seen.fingerprint = loadable.fingerprint;
  seen.model = loadable.name;
  seen.at = options_.clock->wall();
  seen.corrected = loadable.corrected;
  seen.load_s = instance.load_s;
  seen.load_s_predicted = loadable.spec.placement.speed.load_s;
  seen.decode_predicted = loadable.spec.placement.speed.decode;
  seen.bytes.clear();
  std::vector<LiveDevice> now;
  if (options_.live != nullptr && !accelerators_of(loadable.shares).empty()) {
    now = options_.live->look(accelerators_of(loadable.shares));
  }
  for (const Share& share : loadable.shares) {
    LoadBytes bytes{share.device, share.bytes, std::nullopt};
    if (share.device != kHost) {
      bytes.measured = taken(find(instance.before, share.device), find(now, share.device),
                             instance.pid);
    } else if (instance.probe.peak() > Bytes{}) {
      bytes.measured = instance.probe.peak();
    }
    seen.bytes.push_back(std::move(bytes));
  }
  if (known) return;
  Result<int64_t> id = options_.store->add_load(seen);
  if (id) {
    seen.id = *id;
  } else {
    options_.log->warn("measurement_lost", {{"error", id.error().message}});
  }
}

// The row as it stays: with the peak of its whole life.
void Scheduler::note_end(Instance& instance) {
  LoadSeen& seen = instance.seen;
  if (seen.id == 0) return;
  {
    const std::lock_guard lock(mutex_);
    seen.sessions = instance.served;
    if (instance.decode_s > 0) {
      seen.decode = static_cast<double>(instance.tokens) / instance.decode_s;
    }
    const bool died = instance.death && instance.end == LoadEnd::kUnloaded;
    seen.end = died ? LoadEnd::kDied : instance.end;
  }
  for (LoadBytes& bytes : seen.bytes) {
    if (bytes.device == kHost && instance.probe.peak() > Bytes{}) {
      bytes.measured = instance.probe.peak();
    }
  }
  if (Result<void> kept = options_.store->update_load(seen); !kept) {
    options_.log->warn("measurement_lost", {{"error", kept.error().message}});
  }
}

// It holds more than its lease. What it holds is booked as far as there is room, whatever the
// policy: nobody else may be given it.
void Scheduler::see_growth(Instance& instance) {
  Model& model = *instance.model;
  const Loadable& loadable = model.loadable;
  const Bytes lease = on_device(loadable.shares, kHost);
  const Bytes now = instance.probe.now();
  bool first = false, held = true;
  {
    const std::lock_guard lock(mutex_);
    const Bytes booked = lease + instance.booked_more;
    if (now > booked) instance.booked_more += ledger_.raise(instance.token, kHost, now - booked);
    held = lease + instance.booked_more >= now;
    first = !std::exchange(instance.growth_handled, true);
    if (first) ++model.grown;
  }
  if (first) {
    options_.log->warn("lease_exceeded", {{"model", loadable.name},
                                          {"leased", format_bytes(lease)},
                                          {"measured", format_bytes(now)},
                                          {"policy", std::string(growth_name(loadable.growth))}});
  }
  if (loadable.growth == Growth::kWarn || (!first && held)) return;
  // The figure must be known before anybody plans the model again.
  instance.end = LoadEnd::kGrew;
  if (instance.seen.id == 0) note_load(instance);
  note_end(instance);
  if (loadable.growth == Growth::kMove && move_grown(instance, held)) return;
  condemn_grown(instance, lease);
}

// Planned with what it needs, for those who come next. False: it cannot be, or it cannot go on
// until then.
bool Scheduler::move_grown(Instance& instance, bool held) {
  Model& model = *instance.model;
  if (!options_.replan) return false;
  Result<Loadable> next = options_.replan(model.loadable.name, nullptr);
  if (!next) return false;
  const std::lock_guard lock(mutex_);
  model.next = std::move(*next);
  if (!instance.was_ready) {
    stop_locked(model);  // and loaded in the new way for those who wait
    return true;
  }
  if (!held) return false;
  instance.end = LoadEnd::kUnloaded;  // its sessions may end: then the peak is all it needed
  model.draining = true;
  dispatch_locked();
  return true;
}

void Scheduler::condemn_grown(Instance& instance, Bytes lease) {
  Model& model = *instance.model;
  const std::string& name = model.loadable.name;
  const Bytes grown = instance.probe.peak();
  const std::lock_guard lock(mutex_);
  const Bytes budget = ledger_.budget(kHost);
  Error why{Code::kWorkerFailed,
            fmt::format("{} grew to {}, its lease is {}", name, format_bytes(grown),
                        format_bytes(lease)),
            "it gets more the next time; `growth: warn` lets it go on"};
  if (grown > budget || lease >= budget) {
    // More than there is: another attempt would end like this one.
    why.code = Code::kDoesNotFit;
    why.message += lease >= budget ? ", all of the budget"
                                   : fmt::format(" and the budget {}", format_bytes(budget));
    why.remedy = fmt::format("raise --ram-budget above {}", format_bytes(grown));
  }
  if (instance.worker) instance.worker->condemn(why);
  instance.death = why;
  refuse_locked(model, why);
  stop_locked(model);
  changed_.notify_all();
}

}  // namespace gantry
