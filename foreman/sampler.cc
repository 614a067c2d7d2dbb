// The sampling thread.
#include "foreman/sampler.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace gantry {

namespace {

constexpr Millis kPauseMax{300};

}  // namespace

Sampler::Sampler(Os& os, const Clock& clock, SamplerOptions options)
    : os_(os), clock_(clock), options_(std::move(options)) {
  thread_ = Thread([this] { run(); });
}

Sampler::~Sampler() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Sampler::watch(Probe* probe, int pid) {
  const std::lock_guard lock(mutex_);
  probe->pid_ = pid;
  probes_.push_back(probe);
  sample();
  changed_.notify_all();
}

void Sampler::forget(Probe* probe) {
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(probes_, probe) == probes_.end()) return;
  sample();  // what it held last
  probes_.remove(probe);
  probe->now_ = 0;
  sample();
}

// Under the lock, so that a forgotten probe is not touched.
void Sampler::sample() {
  Bytes sum;
  for (Probe* probe : probes_) {
    const Bytes now = os_.pss(probe->pid_).value_or(Bytes{});
    probe->now_ = now.n;
    probe->peak_ = std::max(probe->peak_.load(), now.n);
    sum += now;
    if (probe->on_growth_) check_growth(*probe, now);
  }
  total_ = sum.n;
  total_peak_ = std::max(total_peak_.load(), sum.n);
  const bool over = sum > options_.budget;
  if (over && !over_ && options_.on_over) options_.on_over(sum, options_.budget);
  over_ = over;
}

// One sample can fall between two pages of a process that shrinks another.
void Sampler::check_growth(Probe& probe, Bytes now) {
  const bool over = now > probe.limit_;
  const bool twice = over && probe.over_;
  probe.over_ = over;
  if (!twice) return;
  const auto tell = std::exchange(probe.on_growth_, nullptr);
  tell(now);
}

void Sampler::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (probes_.empty()) {
      changed_.wait(lock, [&] { return ending_ || !probes_.empty(); });
      continue;
    }
    const auto begun = clock_.steady();
    sample();
    const auto cost = clock_.steady() - begun;
    // Reading a large process' pages takes milliseconds, in which it cannot map memory: not more
    // than a tenth of the time. But where reading is slow because the machine is busy, growth must
    // be seen within a second all the same, and takes two samples to be believed.
    const auto pause = std::clamp<std::chrono::nanoseconds>(9 * cost, options_.interval,
                                                            std::max(options_.interval, kPauseMax));
    changed_.wait_for(lock, pause, [&] { return ending_; });
  }
}

}  // namespace gantry
