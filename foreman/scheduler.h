// Loads, lends and unloads models by the line's rules. Every loaded model has a keeper: one thread
// that starts its worker, watches it, stops it and returns its bytes.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "foreman/client.h"
#include "foreman/hold.h"
#include "foreman/lease_book.h"
#include "foreman/line.h"
#include "foreman/sampler.h"
#include "foreman/scheduler_options.h"
#include "foreman/store.h"

namespace gantry {

// Thread-safe. Sessions and holds must be gone before it is destroyed (the destructor waits).
// Who holds a session and opens another may wait for itself: hold one at a time.
class Scheduler {
 public:
  explicit Scheduler(SchedulerOptions options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // kCancelled, kDoesNotFit, kUnavailable (stopping), kWorkerFailed and whatever starting gave.
  // `durable`: for a job. Its worker is hung when it uses no processor time for `hung_after`.
  // kTimeout when `patience` has ended; empty: there is no limit.
  [[nodiscard]] Result<std::unique_ptr<Session>> open(const Loadable& model,
                                                      const http::Cancel& cancel, int priority,
                                                      bool durable = false,
                                                      const Patience& patience = {});
  // What its worker died of, while it rests because that was not the first time.
  std::optional<Error> trouble(const std::string& name);
  [[nodiscard]] Result<std::unique_ptr<Hold>> hold(const std::string& name, const HoldWish& wish,
                                                   const http::Cancel& cancel, int priority);
  // Returns when it is gone; waits for its sessions. kNotFound when it was never loaded.
  [[nodiscard]] Result<void> unload(const std::string& name);

  // Books bytes of a process that will not die, for good.
  [[nodiscard]] Result<void> book_orphan(Token token, const Shares& shares);
  // Takes over what a program holds since before our start, until it has ended.
  [[nodiscard]] Result<void> adopt(const LeaseRow& row);
  // Whether an idle load of it would find it there.
  bool loaded(const std::string& name);
  // waits.cc: of these models, whichever way they go.
  LineWaits waits(const std::vector<std::string>& names);
  // Whether other programs leave it the memory that it needs, were it loaded now; or it is.
  bool has_memory(const Loadable& model);
  std::vector<ModelStatus> models();  // those that were ever opened; without placement
  Bytes budget(const std::string& device);
  Bytes booked(const std::string& device);
  uint32_t in_use();  // sessions, holds and requests in line
  std::vector<LeaseRow> leases();
  // Of other daemons and programs, with our names for the devices.
  std::vector<SharedLease> elsewhere();

  // Nobody is served any more; workers are stopped, used ones too; returns when they are gone.
  void shutdown();

 private:
  struct Model;
  struct Instance;
  class KeptWorker;
  struct Request;
  class LentSession;
  class LentBytes;

  // Names ending in _locked want mutex_ held.
  [[nodiscard]] Result<void> wait_locked(std::unique_lock<Mutex>& lock, Request& request,
                                         const http::Cancel& cancel);
  struct Lent {
    Instance* instance;
    Loadable loadable;
    bool waited_for_load;
  };
  [[nodiscard]] Result<Lent> open_once(const Loadable& model, const http::Cancel& cancel,
                                       int priority, bool durable, const Patience& patience);
  [[nodiscard]] Result<Model*> model_locked(const Loadable& loadable);
  void dispatch_locked();
  Moves decide_locked();
  // elsewhere.cc: the leases of others on this machine.
  bool look_elsewhere_locked();  // true: something has changed
  std::unique_ptr<FileLock> lock_elsewhere_locked(const Moves& moves);
  void tell_locked(Token token, const std::string& name, const Shares& shares, int pid);
  void give_back_locked(Token token);
  Bytes promised_elsewhere_locked(const LiveDevice& device);
  void serve_locked(Request& request);
  void load_locked(Model& model);
  void stop_locked(Model& model);
  void reap_locked();
  void refuse_locked(Model& model, const Error& error);
  void close(Instance& instance, bool durable);
  [[nodiscard]] Result<void> record(Token token, const std::string& name, const Shares& shares,
                                    int pid, bool program, Millis limit);
  void watch_leases();
  void end_adopted(std::unique_lock<Mutex>& lock);
  void end_late();
  void release(Token token, Probe& probe);
  void leave(Token token, Probe& probe);

  // shortage.cc: nothing wrong, or kCancelled where it shall be loaded in another way.
  [[nodiscard]] Result<void> take_memory(Instance& instance);
  struct Shortfall;
  Shortfall shortfall(Instance& instance);
  bool evict_idle_locked(const Shortfall& short_of);
  bool plan_smaller(Instance& instance, const Shortfall& short_of);
  bool still_wanted(Instance& instance, const std::string& waits);
  Error shortage_error(const Instance& instance, const Shortfall& short_of);
  Bytes promised_locked(const Instance& to, const std::string& device);
  std::string holder_text(const Shortfall& short_of);
  std::optional<Shortage> next_way(Instance& instance, const Shortfall& short_of,
                                   const std::vector<Shortage>& ways, bool patient);
  // falls.cc
  void note_fall_locked(Instance& instance, const Error& error);
  bool rests_locked(const Model& model) const;
  void shun_locked(Model& model, const Error& error);
  bool avoid_shunned(Instance& instance);
  void watch_progress(Instance& instance);
  // growth.cc
  void watch_growth(Instance& instance);
  void see_growth(Instance& instance);
  bool move_grown(Instance& instance, bool held);
  void condemn_grown(Instance& instance, Bytes lease);
  void note_load(Instance& instance);
  void note_end(Instance& instance);

  void keep(Instance& instance);
  [[nodiscard]] Result<void> start(Instance& instance);
  [[nodiscard]] Result<void> admit(Instance& instance, int pid);
  void supervise(Instance& instance);
  bool should_stop_locked(Instance& instance);
  void put_away(Instance& instance);
  bool memory_is_back(int pid);
  CgroupLimits limits_of(const Loadable& loadable) const;

  SchedulerOptions options_;
  Mutex mutex_;
  CondVar changed_;
  Ledger ledger_;
  std::vector<std::unique_ptr<Model>> models_;
  std::list<std::unique_ptr<Instance>> instances_;
  std::list<Request*> line_;
  uint64_t arrivals_ = 0;
  uint64_t served_ = 0;
  uint32_t lent_ = 0;  // sessions and holds
  bool stopping_ = false;
  std::vector<SharedLease> elsewhere_;
  LeaseBook book_;
  std::vector<LeaseRow> adopted_;
  Thread warden_;
};

}  // namespace gantry
