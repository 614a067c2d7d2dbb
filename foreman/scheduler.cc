// The line in front of the models: waiting, serving, and the sessions that are lent.
#include "foreman/scheduler.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <system_error>

#include "base/limits.h"
#include "foreman/instance.h"

namespace gantry {

namespace {

// How soon a waiting caller notices its own cancel flag, which nobody announces.
constexpr Millis kCancelPoll{20};
// A worker found dead at the moment of lending is replaced so often before its user hears of it.
constexpr int kLendTries = 3;
// How soon the end of an adopted program is seen, and the end of a program's time.
constexpr Millis kHolderLook{100};
// A job waits for a rest that ends so soon: to be told of it would be an attempt of its own.
constexpr Millis kShortRest{10'000};

std::string_view state_name(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded: return "unloaded";
    case ModelState::kLoading: return "loading";
    case ModelState::kReady: return "ready";
    case ModelState::kStopping: return "stopping";
  }
  return "unknown";
}

Error stopping_error() {
  return {Code::kUnavailable, "the daemon is stopping", "start it again"};
}

}  // namespace

class Scheduler::LentSession final : public Session {
 public:
  LentSession(Scheduler& scheduler, Instance& instance, Loadable loadable, double load_s,
              bool durable, bool alone)
      : scheduler_(scheduler),
        instance_(instance),
        loadable_(std::move(loadable)),
        load_s_(load_s),
        durable_(durable),
        alone_(alone) {
    for (const Share& share : loadable_.shares) predicted_ += share.bytes;
  }
  ~LentSession() override { scheduler_.close(instance_, durable_); }
  const std::string& model() const override { return loadable_.name; }
  const std::string& device() const override { return loadable_.device; }
  Worker& worker() override { return *instance_.worker; }
  Bytes predicted() const override { return predicted_; }
  Bytes measured() const override { return instance_.probe.peak(); }
  double load_s() const override { return load_s_; }
  std::string why() const override { return loadable_.why; }
  void decoded(uint64_t tokens, double seconds) override {
    const std::lock_guard lock(scheduler_.mutex_);
    instance_.tokens += tokens;
    instance_.decode_s += seconds;
  }
  void heard(double sound_s, double seconds) override {
    {
      const std::lock_guard lock(scheduler_.mutex_);
      alone_ = alone_ && scheduler_.lent_ == 1;
    }
    const SchedulerOptions& options = scheduler_.options_;
    Result<void> kept = options.store->add_pace({loadable_.fingerprint, loadable_.name,
                                                 loadable_.device, sound_s, seconds,
                                                 options.clock->wall()}, alone_);
    if (!kept) options.log->warn("measurement_lost", {{"error", kept.error().message}});
  }

 private:
  Scheduler& scheduler_;
  Instance& instance_;
  Loadable loadable_;  // a copy: the model's may be replaced while a dead worker is still lent
  Bytes predicted_;
  double load_s_;
  bool durable_;
  bool alone_;  // of all sessions, when it was lent
};

class Scheduler::LentBytes final : public Hold {
 public:
  LentBytes(Scheduler& scheduler, Token token, std::string name, HoldWish wish)
      : scheduler_(scheduler), token_(token), name_(std::move(name)), wish_(std::move(wish)) {}
  ~LentBytes() override {
    if (left_) {
      scheduler_.leave(token_, probe_);
    } else {
      scheduler_.release(token_, probe_);
    }
  }
  [[nodiscard]] Result<void> started(int pid) override {
    Result<void> added =
        scheduler_.record(token_, name_, wish_.shares, pid, wish_.program, wish_.limit);
    if (!added) return added;
    scheduler_.options_.sampler->watch(&probe_, pid);
    return {};
  }
  Bytes measured() const override { return probe_.peak(); }
  Token token() const override { return token_; }
  void leave() override { left_ = true; }

 private:
  Scheduler& scheduler_;
  Token token_;
  std::string name_;
  HoldWish wish_;
  bool left_ = false;
  Probe probe_;
};

Scheduler::Scheduler(SchedulerOptions options)
    : options_(std::move(options)),
      ledger_(options_.budgets),
      book_(*options_.os, *options_.clock, *options_.store) {
  for (const Share& share : options_.ceilings) ledger_.set_ceiling(share.device, share.bytes);
  if (options_.shared != nullptr) (void)look_elsewhere_locked();  // nobody else is here yet
  warden_ = Thread([this] { watch_leases(); });
}

Scheduler::~Scheduler() {
  shutdown();
  warden_.join();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return lent_ == 0; });
  reap_locked();
}

Result<std::unique_ptr<Session>> Scheduler::open(const Loadable& model, const http::Cancel& cancel,
                                                 int priority, bool durable,
                                                 const Patience& patience) {
  Error last;
  for (int attempt = 0; attempt < kLendTries; ++attempt) {
    Result<Lent> lent = open_once(model, cancel, priority, durable, patience);
    if (!lent) return fail(lent.error());
    lent->loadable.why = model.why;  // of this request, whoever had it loaded
    Instance& instance = *lent->instance;
    Result<void> alive = instance.alive();
    if (alive) {
      bool alone = false;
      {
        const std::lock_guard lock(mutex_);
        if (durable) ++instance.jobs;
        alone = lent_ == 1;
      }
      return std::make_unique<LentSession>(*this, instance, std::move(lent->loadable),
                                           lent->waited_for_load ? instance.load_s : 0.0, durable,
                                           alone);
    }
    last = alive.error();
    {
      const std::lock_guard lock(mutex_);
      if (!instance.death) instance.death = last;
      instance.stop = true;
    }
    close(instance, false);
  }
  return fail(std::move(last));
}

Result<Scheduler::Model*> Scheduler::model_locked(const Loadable& loadable) {
  for (const std::unique_ptr<Model>& model : models_) {
    if (model->loadable.name != loadable.name) continue;
    if (model->state == ModelState::kUnloaded) {
      model->loadable = loadable;
    } else if (model->loadable.asked != loadable.asked) {
      model->next = loadable;
      model->draining = true;
    } else if (model->state == ModelState::kStopping || model->draining) {
      model->next = loadable;  // what was measured meanwhile may have changed its plan
    }
    return model.get();
  }
  if (models_.size() >= kModelsMax) {
    return fail(Code::kTooLarge, fmt::format("more than {} models were used", kModelsMax),
                "restart the daemon");
  }
  models_.push_back(std::make_unique<Model>());
  models_.back()->loadable = loadable;
  return models_.back().get();
}

Result<Scheduler::Lent> Scheduler::open_once(const Loadable& loadable, const http::Cancel& cancel,
                                             int priority, bool durable,
                                             const Patience& patience) {
  std::unique_lock lock(mutex_);
  if (!ledger_.could_hold(loadable.shares)) {
    return fail(Code::kDoesNotFit, fmt::format("{} needs more than the budget", loadable.name),
                fmt::format("see `gantry plan {}`", loadable.name));
  }
  Result<Model*> model = model_locked(loadable);
  if (!model) return fail(model.error());
  if ((*model)->falls >= kLoadFailuresMax && rests_locked(**model)) {
    const Millis left = (*model)->rests_until - options_.clock->steady();
    const Error& last = *(*model)->last_error;
    if (!durable || last.code != Code::kWorkerFailed || left > kShortRest) {
      return fail(last.code,
                  fmt::format("{} failed {} times in a row; the last time: {}", loadable.name,
                              (*model)->falls, last.message),
                  fmt::format("look at `gantry logs {}`; it is tried again in {} s", loadable.name,
                              left.count() / 1000 + 1));
    }
  }
  Request request;
  request.model = *model;
  request.waiter.priority = priority;
  if (patience) request.patience = &patience;
  if (Result<void> served = wait_locked(lock, request, cancel); !served) {
    return fail(served.error());
  }
  return Lent{request.served, (*model)->loadable,
              request.waiter.arrival <= request.served->ready_mark};
}

Result<std::unique_ptr<Hold>> Scheduler::hold(const std::string& name, const HoldWish& wish,
                                              const http::Cancel& cancel, int priority) {
  Request request;
  request.waiter.priority = priority;
  request.waiter.shares = wish.shares;
  {
    std::unique_lock lock(mutex_);
    if (!ledger_.could_hold(wish.shares)) {
      return fail(Code::kDoesNotFit, fmt::format("{} needs more than the budget", name),
                  "raise --ram-budget");
    }
    if (Result<void> served = wait_locked(lock, request, cancel); !served) {
      return fail(served.error());
    }
  }
  return std::make_unique<LentBytes>(*this, request.token, name, wish);
}

// A row names its holder from the first moment on: who finds it can tell whether that lives.
Result<void> Scheduler::record(Token token, const std::string& name, const Shares& shares, int pid,
                               bool program, Millis limit) {
  const uint64_t ticks = options_.os->start_time(pid).value_or(0);
  std::vector<LeaseRow> rows;
  for (const Share& share : shares) {
    rows.push_back({token, share.device, share.bytes, name, pid, ticks, options_.boot_id, program,
                    share.whole});
  }
  {
    const std::lock_guard lock(mutex_);
    tell_locked(token, name, shares, pid);
  }
  Result<void> added = book_.add(std::move(rows), limit);
  changed_.notify_all();  // there is somebody to watch
  return added;
}

Result<void> Scheduler::wait_locked(std::unique_lock<Mutex>& lock, Request& request,
                                    const http::Cancel& cancel) {
  if (stopping_) return fail(stopping_error());
  request.waiter.arrival = request.waiter.id = ++arrivals_;
  request.since = options_.clock->steady();
  line_.push_back(&request);
  dispatch_locked();
  while (!request.done) {
    if (cancel) {
      line_.remove(&request);
      dispatch_locked();  // others may not have to wait for it any more
      return fail(Code::kCancelled, "cancelled while waiting for a model");
    }
    const Patience* patience = request.patience;
    if (patience != nullptr && !(*patience)(options_.clock->steady() - request.since)) {
      line_.remove(&request);
      dispatch_locked();
      return fail(Code::kTimeout, request.model->loadable.name + " was not free in time",
                  "wait longer, or let more of it run at once (`parallel`)");
    }
    changed_.wait_for(lock, kCancelPoll);
    // Nobody announces that a model has rested enough.
    const Model* model = request.model;
    if (!request.done && model != nullptr && model->rested_at_dispatch && !rests_locked(*model)) {
      dispatch_locked();
    }
  }
  if (request.error) return fail(*request.error);
  return {};
}

Moves Scheduler::decide_locked() {
  std::vector<Stall> stalls;
  for (const std::unique_ptr<Model>& model : models_) {
    Stall stall;
    stall.state = model->state;
    stall.shares = model->loadable.shares;
    stall.slots = model->loadable.slots;
    stall.last_served = model->last_served;
    stall.sessions = model->current == nullptr ? 0 : model->current->sessions;
    stall.draining = model->draining || (model->current != nullptr && model->current->death);
    stall.resting = model->rested_at_dispatch = rests_locked(*model);
    stalls.push_back(std::move(stall));
  }
  std::vector<Waiter> waiters;
  for (Request* request : line_) {
    const auto place = std::ranges::find(models_, request->model, &std::unique_ptr<Model>::get);
    request->waiter.stall = request->model == nullptr
                                ? kNoStall
                                : static_cast<size_t>(place - models_.begin());
    waiters.push_back(request->waiter);
  }
  return decide(stalls, waiters, ledger_);
}

void Scheduler::dispatch_locked() {
  reap_locked();
  Moves moves = decide_locked();
  // Until what is given now is told: no two daemons give the same bytes.
  const std::unique_ptr<FileLock> alone = lock_elsewhere_locked(moves);
  if (alone && look_elsewhere_locked()) moves = decide_locked();
  for (const size_t i : moves.unload) stop_locked(*models_[i]);
  for (const size_t i : moves.load) load_locked(*models_[i]);
  for (const uint64_t id : moves.serve) {
    const auto request =
        std::ranges::find_if(line_, [&](const Request* r) { return r->waiter.id == id; });
    if (request != line_.end()) serve_locked(**request);
  }
  changed_.notify_all();
}

void Scheduler::serve_locked(Request& request) {
  line_.remove(&request);
  request.done = true;
  if (request.model == nullptr) {
    request.token = options_.store->next_token();
    if (Result<void> granted = ledger_.grant(request.token, request.waiter.shares); !granted) {
      request.error = granted.error();
      return;
    }
    tell_locked(request.token, "bytes", request.waiter.shares, 0);
  } else {
    request.served = request.model->current;
    ++request.served->sessions;
    ++request.served->served;
    request.model->last_served = ++served_;
  }
  ++lent_;
}

void Scheduler::load_locked(Model& model) {
  auto instance = std::make_unique<Instance>();
  instance->model = &model;
  instance->token = options_.store->next_token();
  if (Result<void> granted = ledger_.grant(instance->token, model.loadable.shares); !granted) {
    refuse_locked(model, granted.error());
    return;
  }
  tell_locked(instance->token, model.loadable.name, model.loadable.shares, 0);
  Instance& kept = *instance;
  try {
    kept.keeper = Thread([this, &kept] { keep(kept); });
  } catch (const std::system_error&) {
    give_back_locked(kept.token);
    refuse_locked(model, {Code::kUnavailable, "cannot start another thread",
                          "raise the limit on threads (ulimit -u)"});
    return;
  }
  model.state = ModelState::kLoading;
  model.current = &kept;
  instances_.push_back(std::move(instance));
}

void Scheduler::stop_locked(Model& model) {
  model.state = ModelState::kStopping;
  model.current->stop = true;
  model.current->cancel = true;
}

// Everybody who waits for this model hears why it cannot be had.
void Scheduler::refuse_locked(Model& model, const Error& error) {
  for (auto at = line_.begin(); at != line_.end();) {
    if ((*at)->model == &model) {
      (*at)->error = error;
      (*at)->done = true;
      at = line_.erase(at);
    } else {
      ++at;
    }
  }
}

void Scheduler::reap_locked() {
  instances_.remove_if([](const std::unique_ptr<Instance>& instance) {
    if (!instance->finished || instance->sessions > 0) return false;
    if (instance->keeper.get_id() == this_thread_id()) return false;
    instance->keeper.join();  // it has said its last word: only its return is left
    return true;
  });
}

void Scheduler::close(Instance& instance, bool durable) {
  const std::lock_guard lock(mutex_);
  --lent_;
  if (durable) --instance.jobs;
  if (--instance.sessions == 0) instance.idle_since = options_.clock->steady();
  dispatch_locked();
}

void Scheduler::release(Token token, Probe& probe) {
  options_.sampler->forget(&probe);
  if (Result<void> removed = book_.remove(token); !removed) {
    options_.log->warn("lease_kept", {{"error", removed.error().message}});
  }
  const std::lock_guard lock(mutex_);
  --lent_;
  give_back_locked(token);
  dispatch_locked();
}

Result<void> Scheduler::unload(const std::string& name) {
  std::unique_lock lock(mutex_);
  for (const std::unique_ptr<Model>& place : models_) {
    if (place->loadable.name != name) continue;
    Model* const model = place.get();  // the place may move while we wait: others are added
    const Instance* going = model->current;
    if (going == nullptr) return {};
    const Token token = going->token;
    model->draining = true;
    dispatch_locked();
    changed_.wait(lock, [&] { return !model->current || model->current->token != token; });
    return {};
  }
  return fail(Code::kNotFound, name + " was never loaded", "see `gantry ps`");
}

Result<void> Scheduler::book_orphan(Token token, const Shares& shares) {
  const std::lock_guard lock(mutex_);
  Result<void> granted = ledger_.grant(token, shares);
  if (granted) tell_locked(token, "stuck", shares, 0);
  return granted;
}

// Its token stays: the row is as the program got it.
Result<void> Scheduler::adopt(const LeaseRow& row) {
  const std::lock_guard lock(mutex_);
  const Bytes room = ledger_.room(row.device);  // the budget may be smaller than it was
  Result<void> granted = ledger_.grant(
      row.token, {{row.device, std::min(row.bytes, room), {}, {}, row.whole}});
  if (!granted) return granted;
  tell_locked(row.token, row.model, {{row.device, row.bytes, {}, {}, row.whole}}, row.pid);
  book_.take_over(row);
  adopted_.push_back(row);
  changed_.notify_all();
  return {};
}

// The booking stays as it is; it is only somebody else who waits for the holder's end.
void Scheduler::leave(Token token, Probe& probe) {
  options_.sampler->forget(&probe);
  const std::lock_guard lock(mutex_);
  --lent_;
  const std::vector<LeaseRow> rows = book_.rows();
  const auto row = std::ranges::find(rows, token, &LeaseRow::token);
  if (row != rows.end()) adopted_.push_back(*row);
  changed_.notify_all();
}

// One thread for all who hold leases: heartbeats, limits, and the end of adopted programs.
void Scheduler::watch_leases() {
  Millis beaten = options_.clock->boot();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    end_adopted(lock);
    lock.unlock();
    end_late();
    const Millis now = options_.clock->boot();
    if (now - beaten >= kLeaseBeat) {
      beaten = now;
      if (Result<void> seen = book_.beat(); !seen) {
        options_.log->warn("heartbeat_lost", {{"error", seen.error().message}});
      }
    }
    lock.lock();
    if (stopping_) return;
    const bool asks = options_.shared != nullptr && !line_.empty();
    if (asks && look_elsewhere_locked()) dispatch_locked();
    const bool soon = asks || !adopted_.empty() || book_.limits_programs();
    changed_.wait_for(lock, soon ? kHolderLook : kLeaseBeat);
  }
}

void Scheduler::end_adopted(std::unique_lock<Mutex>& lock) {
  for (size_t i = adopted_.size(); i-- > 0;) {
    const LeaseRow row = adopted_[i];
    const bool there = options_.os->start_time(row.pid).value_or(0) == row.start_ticks &&
                       options_.os->pss(row.pid).has_value();
    if (there) continue;
    adopted_.erase(adopted_.begin() + static_cast<long>(i));
    give_back_locked(row.token);
    lock.unlock();
    if (Result<void> removed = book_.remove(row.token); !removed) {
      options_.log->warn("lease_kept", {{"error", removed.error().message}});
    }
    options_.log->info("program_ended", {{"program", row.model}});
    lock.lock();
    dispatch_locked();
    i = std::min(i, adopted_.size());
  }
}

// Told to go, then ended; its bytes are given again only when it is gone, as ever.
void Scheduler::end_late() {
  for (const auto& [row, say] : book_.late()) {
    const bool tell = say == LeaseBook::Say::kTell;
    options_.log->warn(tell ? "lease_over" : "lease_ended",
                       {{"program", row.model}, {"pid", std::to_string(row.pid)}});
    options_.os->kill_group(row.pid, row.start_ticks, tell ? SIGTERM : SIGKILL);
  }
}

std::vector<LeaseRow> Scheduler::leases() { return book_.rows(); }

std::optional<Error> Scheduler::trouble(const std::string& name) {
  const std::lock_guard lock(mutex_);
  for (const std::unique_ptr<Model>& model : models_) {
    const bool it = model->loadable.name == name && model->falls > 1 && rests_locked(*model);
    if (it) return model->last_error;
  }
  return std::nullopt;
}

bool Scheduler::loaded(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(models_, [&](const std::unique_ptr<Model>& model) {
    return model->loadable.name == name && model->state != ModelState::kUnloaded;
  });
}

std::vector<ModelStatus> Scheduler::models() {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatus> all;
  for (const std::unique_ptr<Model>& model : models_) {
    ModelStatus status;
    status.name = model->loadable.name;
    status.kind = model->loadable.kind;
    status.state = state_name(model->state);
    for (const Share& share : model->loadable.shares) status.predicted += share.bytes;
    status.placement = model->loadable.spec.placement;
    status.grown = model->grown;
    status.fallbacks = model->fallbacks;
    if (const Instance* instance = model->current) {
      status.pid = instance->pid;
      status.measured = instance->probe.now();
      status.sessions = instance->sessions;
      status.waits = instance->waits;
      if (model->state == ModelState::kReady && instance->worker) {
        status.stream = instance->worker->stream_counters();
      }
    }
    all.push_back(std::move(status));
  }
  return all;
}

Bytes Scheduler::budget(const std::string& device) {
  const std::lock_guard lock(mutex_);
  return ledger_.budget(device);
}

Bytes Scheduler::booked(const std::string& device) {
  const std::lock_guard lock(mutex_);
  return ledger_.booked(device);
}

uint32_t Scheduler::in_use() {
  const std::lock_guard lock(mutex_);
  return lent_ + static_cast<uint32_t>(line_.size() + adopted_.size());
}

void Scheduler::shutdown() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  for (Request* request : line_) {
    request->error = stopping_error();
    request->done = true;
  }
  line_.clear();
  for (const std::unique_ptr<Instance>& instance : instances_) {
    instance->stop = true;
    instance->cancel = true;
  }
  changed_.notify_all();
  changed_.wait(lock, [&] {
    return std::ranges::all_of(instances_, [](const auto& i) { return i->finished; });
  });
  reap_locked();
}

}  // namespace gantry
