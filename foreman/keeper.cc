// The keeper of one loaded model: start, watch, stop, and the bytes come back.
#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/limits.h"
#include "foreman/instance.h"

namespace gantry {

namespace {

// How often a keeper looks whether its worker lives and whether it has idled long enough.
constexpr Millis kLook{50};
constexpr Millis kMemoryPoll{5};
// A worker's part of the processor against an ordinary program's.
constexpr uint32_t kCpuPercent = 50;

}  // namespace

// The last line, well above the lease: the sampler sees growth sooner and says why. The kernel
// counts files' pages and its own tables too, so there is room above what we count.
CgroupLimits Scheduler::limits_of(const Loadable& loadable) const {
  const Bytes lease = on_device(loadable.shares, "cpu");
  const Bytes twice = Bytes{2 * lease.n} + MiB(256);
  const Bytes budget = on_device(options_.budgets, "cpu") + MiB(256);
  return {loadable.growth == Growth::kWarn ? std::max(twice, budget) : twice, kCpuPercent};
}

void Scheduler::keep(Instance& instance) {
  Result<void> started = take_memory(instance);
  if (started) started = start(instance);
  if (instance.grown) see_growth(instance);
  {
    const std::lock_guard lock(mutex_);
    Model& model = *instance.model;
    if (started && !instance.stop) {
      model.state = ModelState::kReady;
      instance.was_ready = true;
      instance.ready_at = options_.clock->steady();
      instance.ready_mark = arrivals_;
      instance.idle_since = options_.clock->steady();
      dispatch_locked();
    } else if (!started && !instance.cancel) {
      // Its own failure, not a change of mind of ours.
      if (started.error().code != Code::kDoesNotFit) note_fall_locked(instance, started.error());
      refuse_locked(model, started.error());
    }
    if (!started) stop_locked(model);
  }
  if (started) {
    note_load(instance);
    supervise(instance);
  } else {
    options_.log->warn("load_failed", {{"model", instance.model->loadable.name},
                                       {"error", started.error().message}});
  }
  put_away(instance);
}

// What is done about a worker before its program begins: there is no moment at which it has memory
// and its lease does not name it. We may be killed at any.
Result<void> Scheduler::admit(Instance& instance, int pid) {
  const Loadable& loadable = instance.model->loadable;
  instance.pid = pid;
  if (options_.cgroups != nullptr) {
    instance.cgroup = options_.cgroups->put(pid, loadable.name, limits_of(loadable));
  }
  return record(instance.token, loadable.name, loadable.shares, pid, false, kWorkerReadyMax);
}

// From the lease's row to a worker that answers.
Result<void> Scheduler::start(Instance& instance) {
  const Loadable& loadable = instance.model->loadable;  // not replaced while loaded
  const auto begun = options_.clock->steady();
  Result<void> admitted;
  WorkerSpec spec = loadable.spec;
  spec.gate = [&](int pid) { return admitted = admit(instance, pid); };
  Result<std::unique_ptr<Worker>> worker = options_.factory(spec);
  if (!admitted) return admitted;  // in its own words
  if (!worker) return fail(worker.error());
  instance.worker = std::make_unique<KeptWorker>(std::move(*worker));
  const int pid = instance.worker->pid();
  if (instance.pid != pid) return fail(Code::kInternal, loadable.name + " was started unrecorded");
  watch_growth(instance);
  options_.sampler->watch(&instance.probe, pid);
  if (Result<void> ready = instance.worker->ready(instance.cancel); !ready) return ready;
  book_.lift_limit(instance.token);
  instance.load_s =
      std::chrono::duration<double>(options_.clock->steady() - begun).count();
  options_.log->info("loaded", {{"model", loadable.name},
                                {"pid", std::to_string(pid)},
                                {"seconds", fmt::format("{:.3f}", instance.load_s)}});
  return {};
}

void Scheduler::supervise(Instance& instance) {
  for (;;) {
    if (instance.grown) see_growth(instance);
    watch_progress(instance);
    Result<void> alive = instance.alive();
    std::unique_lock lock(mutex_);
    if (!alive && !instance.stop) {
      instance.death = alive.error();
      note_fall_locked(instance, alive.error());
      options_.log->warn("worker_died", {{"model", instance.model->loadable.name},
                                         {"error", alive.error().message}});
    }
    if (should_stop_locked(instance)) return;
    changed_.wait_for(lock, kLook, [&] { return instance.stop; });
  }
}

bool Scheduler::should_stop_locked(Instance& instance) {
  const Millis ttl = instance.model->loadable.ttl;
  const bool idle_out = ttl.count() > 0 && instance.sessions == 0 &&
                        options_.clock->steady() - instance.idle_since >= ttl;
  if (!instance.stop && !instance.death && !idle_out) return false;
  stop_locked(*instance.model);
  return true;
}

// Process gone, memory back, row removed, bytes released: in this order.
void Scheduler::put_away(Instance& instance) {
  Model& model = *instance.model;
  const std::string name = model.loadable.name;
  if (instance.worker) {
    const std::lock_guard asking(instance.asking);
    instance.worker->stop();
  }
  options_.sampler->forget(&instance.probe);
  note_end(instance);
  const bool gone = instance.cgroup == nullptr || instance.cgroup->clear(kWorkerStopMax);
  if (gone) instance.cgroup.reset();
  const bool back = gone && (instance.pid == 0 || memory_is_back(instance.pid));
  Result<void> removed;
  if (back) removed = book_.remove(instance.token);
  if (!removed) options_.log->warn("lease_kept", {{"error", removed.error().message}});

  const std::lock_guard lock(mutex_);
  if (back) {
    give_back_locked(instance.token);
  } else {
    // Bytes that did not come back stay booked: what is planned next fits beside them.
    options_.log->error("memory_not_back", {{"model", name},
                                            {"pid", std::to_string(instance.pid)}});
  }
  options_.log->info("unloaded", {{"model", name},
                                  {"peak", format_bytes(instance.probe.peak())}});
  model.state = ModelState::kUnloaded;
  model.current = nullptr;
  model.draining = false;
  if (model.next) model.loadable = *std::exchange(model.next, std::nullopt);
  instance.finished = true;
  dispatch_locked();
}

bool Scheduler::memory_is_back(int pid) {
  for (Millis waited{0}; waited < kWorkerStopMax; waited += kMemoryPoll) {
    if (!options_.os->pss(pid)) return true;
    options_.os->sleep(kMemoryPoll);
  }
  return false;
}

}  // namespace gantry
