// For tests: the workers of a FakeHost.
#pragma once

#include <thread>

#include "foreman/fake_host.h"

namespace gantry {

class FakeWorker final : public Worker {
 public:
  FakeWorker(FakeHost& host, std::string model, FakeScript script)
      : host_(host), script_(script), model_(std::move(model)), address_(script.address) {
    const std::lock_guard lock(host_.mutex_);
    pid_ = host_.next_pid_++;
    ++host_.starts_[model_];
    host_.processes_[pid_] = {model_, script_.memory, false, false, {}, {}};
    Bytes sum;
    for (const auto& [pid, process] : host_.processes_) {
      if (host_.holds(process)) sum += process.memory;
    }
    host_.peak_ = std::max(host_.peak_, sum);
  }
  ~FakeWorker() override { stop(); }
  int pid() const override { return pid_; }
  [[nodiscard]] Result<void> ready(const http::Cancel& cancel) override {
    const auto until = std::chrono::steady_clock::now() + script_.load;
    while (script_.hangs || std::chrono::steady_clock::now() < until) {
      if (cancel) return fail(Code::kCancelled, "cancelled while loading");
      if (Result<void> there = alive(); !there) return there;
      std::this_thread::sleep_for(Millis(1));
    }
    if (script_.fails) {
      const std::lock_guard lock(host_.mutex_);
      host_.processes_[pid_].dead = true;
    }
    return alive();
  }
  const http::Address& address() const override { return address_; }
  [[nodiscard]] Result<std::vector<Segment>> transcribe(
      const Hearing&, const http::Cancel&,
      const std::function<void(const Segment&, Progress)>&) override {
    return std::vector<Segment>{};
  }
  [[nodiscard]] Result<void> alive() override {
    const std::lock_guard lock(host_.mutex_);
    if (!host_.processes_[pid_].dead) return {};
    return fail(Code::kWorkerFailed, model_ + " was killed by signal 9; its last words: boom");
  }
  void stop() override {
    const std::lock_guard lock(host_.mutex_);
    FakeHost::FakeProcess& process = host_.processes_[pid_];
    if (process.stopped) return;
    process.stopped = true;
    process.gone_at = std::chrono::steady_clock::now() + script_.release;
  }

 private:
  FakeHost& host_;
  FakeScript script_;
  std::string model_;
  http::Address address_;
  int pid_ = 0;
};

inline WorkerFactory FakeHost::factory() {
  return [this](const WorkerSpec& spec) -> Result<std::unique_ptr<Worker>> {
    FakeScript script;
    {
      const std::lock_guard lock(mutex_);
      script = scripts_[spec.model];
    }
    if (script.missing) return fail(Code::kNotFound, "the program is not installed");
    auto worker = std::make_unique<FakeWorker>(*this, spec.model, script);
    if (Result<void> may = spec.gate(worker->pid()); !may) return fail(may.error());
    return worker;
  };
}

}  // namespace gantry
