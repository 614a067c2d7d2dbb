// For tests: a machine whose processes are scripts. It keeps its own account of who held what when,
// so that the scheduler is judged by what happened and not by what it says.
#pragma once

#include <signal.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/sync.h"
#include "foreman/real_files.h"
#include "foreman/scheduler.h"

namespace gantry {

// How workers of one model behave.
struct FakeScript {
  Millis load{0};
  Bytes memory = MiB(10);
  Millis release{0};  // memory stays that long after a stop
  bool fails = false;    // dies while loading
  bool hangs = false;    // loads for ever
  bool missing = false;  // cannot even be started
  http::Address address = {};  // where somebody answers for it
};

// Thread-safe. Processes are scripts.
class FakeHost final : public RealFiles {
 public:
  void script(const std::string& model, FakeScript script) {
    const std::lock_guard lock(mutex_);
    scripts_[model] = script;
  }
  // Kills every live worker of the model, as an OOM killer would.
  void crash(const std::string& model) {
    const std::lock_guard lock(mutex_);
    for (auto& [pid, process] : processes_) {
      if (process.model == model) process.dead = true;
    }
  }
  void grow(const std::string& model, Bytes memory) {
    const std::lock_guard lock(mutex_);
    for (auto& [pid, process] : processes_) {
      if (process.model == model) process.memory = memory;
    }
  }
  int starts(const std::string& model) {
    const std::lock_guard lock(mutex_);
    return starts_[model];
  }
  size_t alive() {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::ranges::count_if(
        processes_, [](const auto& p) { return !p.second.dead && !p.second.stopped; }));
  }
  Bytes peak() {
    const std::lock_guard lock(mutex_);
    return peak_;
  }
  WorkerFactory factory();  // in fake_worker.h

  [[nodiscard]] Result<std::unique_ptr<Process>> spawn(const ProcessSpec&) override {
    return fail(Code::kUnsupported, "no real processes here");
  }
  [[nodiscard]] Result<Bytes> pss(int pid) override;
  [[nodiscard]] Result<uint64_t> start_time(int pid) override;
  void kill_group(int pid, uint64_t start_ticks, int signal) override {
    const std::lock_guard lock(mutex_);
    kills.push_back(pid);
    signals.push_back(signal);
    if (signal != SIGKILL && stubborn) return;
    const auto process = foreign.find(pid);
    if (process != foreign.end() && process->second == start_ticks) foreign.erase(process);
  }
  [[nodiscard]] Result<Millis> cpu_time(int pid) override {
    const std::lock_guard lock(mutex_);
    const auto process = processes_.find(pid);
    if (process == processes_.end()) return fail(Code::kNotFound, "no such process");
    // A worker that is not stuck computes as long as anybody looks.
    if (!stuck_.contains(process->second.model)) process->second.cpu += Millis(100);
    return process->second.cpu;
  }
  // Its workers are there and do nothing, as after SIGSTOP.
  void stick(const std::string& model) {
    const std::lock_guard lock(mutex_);
    stuck_.insert(model);
  }

  // Processes of nobody's: pid to start time. Set before use; kill() ends them.
  std::map<int, uint64_t> foreign;
  std::vector<int> kills, signals;
  bool stubborn = false;  // they go on after SIGTERM

 private:
  friend class FakeWorker;
  struct FakeProcess {
    std::string model;
    Bytes memory;
    bool dead = false, stopped = false;
    std::chrono::steady_clock::time_point gone_at{};
    Millis cpu{0};
  };

  bool holds(const FakeProcess& process) const {
    if (process.dead) return false;
    return !process.stopped || std::chrono::steady_clock::now() < process.gone_at;
  }

  Mutex mutex_;
  std::map<std::string, FakeScript> scripts_;
  std::map<std::string, int> starts_;
  std::set<std::string> stuck_;
  std::map<int, FakeProcess> processes_;
  int next_pid_ = 100'000'000;  // above any real one
  Bytes peak_;
};

inline Result<Bytes> FakeHost::pss(int pid) {
  const std::lock_guard lock(mutex_);
  if (foreign.contains(pid)) return MiB(1);
  const auto process = processes_.find(pid);
  if (process != processes_.end() && holds(process->second)) return process->second.memory;
  return fail(Code::kNotFound, "no such process");
}

inline Result<uint64_t> FakeHost::start_time(int pid) {
  const std::lock_guard lock(mutex_);
  if (const auto process = foreign.find(pid); process != foreign.end()) return process->second;
  if (processes_.contains(pid)) return static_cast<uint64_t>(pid);
  return fail(Code::kNotFound, "no such process");
}

}  // namespace gantry
