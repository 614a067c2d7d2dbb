// Watches what workers really hold: proportional set sizes, a few dozen times a second while there
// is somebody to watch, and nothing at all otherwise.
#pragma once

#include <atomic>
#include <functional>
#include <list>

#include "base/os.h"
#include "base/sync.h"

namespace gantry {

// One watched process. Any thread may read it.
class Probe {
 public:
  // Before it is watched: on_growth is called on the sampler's thread, once, when the process has
  // held more than `limit` for two samples in a row. It must not call the sampler.
  void tell_growth(Bytes limit, std::function<void(Bytes now)> on_growth) {
    limit_ = limit;
    on_growth_ = std::move(on_growth);
  }
  Bytes now() const { return {now_}; }
  Bytes peak() const { return {peak_}; }

 private:
  friend class Sampler;
  std::atomic<int> pid_{0};
  std::atomic<uint64_t> now_{0};
  std::atomic<uint64_t> peak_{0};
  Bytes limit_;  // of the sampler from watch() on
  bool over_ = false;
  std::function<void(Bytes)> on_growth_;
};

struct SamplerOptions {
  // Short against a load (a peak can last for one matrix), long against reading /proc.
  Millis interval{20};
  Bytes budget;  // of all watched processes together
  // Called on the sampler's thread when their sum passes the budget, once until it is below again.
  std::function<void(Bytes sum, Bytes budget)> on_over;
};

class Sampler {
 public:
  Sampler(Os& os, const Clock& clock, SamplerOptions options);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  void watch(Probe* probe, int pid);  // samples at once
  void forget(Probe* probe);          // not read or written afterwards
  Bytes total() const { return {total_}; }
  Bytes total_peak() const { return {total_peak_}; }

 private:
  void run();
  void sample();
  static void check_growth(Probe& probe, Bytes now);

  Os& os_;
  const Clock& clock_;
  SamplerOptions options_;
  Mutex mutex_;
  CondVar changed_;
  std::list<Probe*> probes_;
  std::atomic<uint64_t> total_{0};
  std::atomic<uint64_t> total_peak_{0};
  bool over_ = false;
  bool ending_ = false;
  Thread thread_;
};

}  // namespace gantry
