// Starts that end badly: a model rests before the next one, leaves a device that fails it for
// another, and a worker that does nothing is ended.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "foreman/instance.h"

namespace gantry {

namespace {

constexpr const char* kHost = "cpu";
// Reading the processor time of a group walks all of /proc.
constexpr Millis kProgressLook{5'000};
// A sleeping process' housekeeping; work is a hundred times that.
constexpr Millis kNothing{10};

// What engines and drivers say when it is the device, and not the model or the request.
bool blames_device(const std::string& message) {
  constexpr std::array<std::string_view, 12> kSigns = {
      "out of memory", "CUDA error",  "hipError",      "ROCm error",        "device lost",
      "DeviceLost",    "Xid",         "cudaMalloc",    "ErrorOutOfDevice",  "failed to allocate",
      "GPU hang",      "ZE_RESULT_ERROR"};
  return std::ranges::any_of(kSigns, [&](std::string_view sign) {
    return message.find(sign) != std::string::npos;
  });
}

// 0, 1, 2, 4 ... 60 s, a quarter more or less so that several models do not start at once.
Millis rest_after(uint32_t falls, Token token) {
  if (falls <= 1) return Millis(0);
  const Millis whole = std::min(kRestMax, Millis(1000LL << std::min(falls - 2, 6U)));
  const int64_t spread = whole.count() / 2;
  const auto mixed = static_cast<uint64_t>(token) * 0x9E3779B97F4A7C15ULL >> 33;
  return whole - Millis(spread / 2) +
         Millis(static_cast<int64_t>(mixed % static_cast<uint64_t>(spread + 1)));
}

}  // namespace

bool Scheduler::rests_locked(const Model& model) const {
  return model.falls > 0 && options_.clock->steady() < model.rests_until;
}

void Scheduler::note_fall_locked(Instance& instance, const Error& error) {
  Model& model = *instance.model;
  const Millis now = options_.clock->steady();
  if (instance.was_ready && now - instance.ready_at >= kHealthyAfter) model.falls = 0;
  ++model.falls;
  model.rests_until = now + rest_after(model.falls, instance.token);
  model.last_error = error;
  shun_locked(model, error);
}

// Its accelerators, where they are to blame or where it has failed twice: perhaps they are.
void Scheduler::shun_locked(Model& model, const Error& error) {
  if (!blames_device(error.message) && model.falls < 2) return;
  for (const Share& share : model.loadable.shares) {
    if (share.device == kHost || share.bytes == Bytes{}) continue;
    Shun& shun = model.shunned[share.device];
    const Millis time = std::min(kShunMax, Millis(kShunFirst.count() << std::min(shun.times, 10U)));
    ++shun.times;
    shun.until = options_.clock->steady() + time;
    options_.log->warn("device_shunned", {{"model", model.loadable.name},
                                          {"device", share.device},
                                          {"seconds", std::to_string(time.count() / 1000)},
                                          {"error", error.message}});
  }
}

// Planned anew without the devices that failed it lately. False: there are none among those it is
// planned for, or there is nowhere else to go.
bool Scheduler::avoid_shunned(Instance& instance) {
  Model& model = *instance.model;
  std::vector<std::string> devices;
  std::map<std::string, Shun> shunned;
  {
    const std::lock_guard lock(mutex_);
    const Millis now = options_.clock->steady();
    std::erase_if(model.shunned, [&](const auto& entry) {
      return now >= entry.second.until + kShunMax;  // long forgiven
    });
    shunned = model.shunned;
    std::erase_if(shunned, [&](const auto& entry) { return now >= entry.second.until; });
  }
  const bool concerned = std::ranges::any_of(model.loadable.shares, [&](const Share& share) {
    return share.bytes > Bytes{} && shunned.contains(share.device);
  });
  if (!concerned || !options_.replan) return false;
  for (const Share& budget : options_.budgets) devices.push_back(budget.device);
  Shares rooms;
  for (const LiveDevice& device : options_.live->look(devices)) {
    const std::lock_guard lock(mutex_);
    const Bytes room = device.free - promised_locked(instance, device.device);
    rooms.push_back({device.device, shunned.contains(device.device) ? Bytes{} : room});
  }
  Result<Loadable> elsewhere = options_.replan(model.loadable.name, &rooms);
  if (!elsewhere) return false;
  const bool still = std::ranges::any_of(elsewhere->shares, [&](const Share& share) {
    return share.bytes > Bytes{} && shunned.contains(share.device);
  });
  if (still) return false;
  const std::lock_guard lock(mutex_);
  ++model.fallbacks;
  options_.log->warn("fell_back", {{"model", model.loadable.name},
                                   {"from", model.loadable.device},
                                   {"to", elsewhere->device},
                                   {"why", model.last_error ? model.last_error->message : ""}});
  model.next = std::move(*elsewhere);
  instance.cancel = true;
  return true;
}

// A worker that a job waits for and that has used no processor time for long hangs, whatever it
// waits for itself: a computation on an accelerator is fed by the processor.
void Scheduler::watch_progress(Instance& instance) {
  const Millis now = options_.clock->steady();
  if (options_.hung_after == Millis(0) || now - instance.cpu_looked_at < kProgressLook) return;
  if (instance.cpu_looked_at == Millis(0)) instance.cpu_moved_at = now;  // the first look
  instance.cpu_looked_at = now;
  {
    const std::lock_guard lock(mutex_);
    if (instance.jobs == 0) {
      instance.cpu_moved_at = now;
      return;
    }
  }
  const Result<Millis> used = options_.os->cpu_time(instance.pid);
  if (!used || *used >= instance.cpu_seen + kNothing) {
    instance.cpu_seen = used.value_or(instance.cpu_seen);
    instance.cpu_moved_at = now;
    return;
  }
  const Millis still = now - instance.cpu_moved_at;
  if (still < options_.hung_after) return;
  const Error why{Code::kWorkerFailed,
                  fmt::format("{}'s worker hangs: it has used no processor time for {} s",
                              instance.model->loadable.name, still.count() / 1000),
                  "it is ended, and its job tried again; `hung_s` says how long to wait"};
  const std::lock_guard lock(mutex_);
  options_.log->error("worker_hung", {{"model", instance.model->loadable.name},
                                      {"pid", std::to_string(instance.pid)}});
  instance.worker->condemn(why);
  instance.death = why;
  note_fall_locked(instance, why);
  instance.stop = true;
}

}  // namespace gantry
