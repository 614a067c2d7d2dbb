// For tests: a scheduler over scripted workers, judged by what their host saw.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>

#include "foreman/fake_live.h"
#include "foreman/fake_worker.h"
#include "foreman/scheduler.h"

namespace gantry {

// Moves when told to, from any thread.
class TestClock final : public Clock {
 public:
  Millis steady() const override { return Millis(now_); }
  WallTime wall() const override { return WallTime(Millis(now_)); }
  void advance(Millis by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{0};
};

class SchedulerBench : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "gantry-scheduler-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    dir_ = path;
    store_ = *Store::open(dir_ + "/gantry.db", {});
    sampler_ = std::make_unique<Sampler>(host_, clock_, SamplerOptions{Millis(2), MiB(100), {}});
    live_.set("cpu", GiB(1));
    scheduler_ = std::make_unique<Scheduler>(SchedulerOptions{
        &host_, &clock_, log_.get(), store_.get(), sampler_.get(),
        [this, make = host_.factory()](const WorkerSpec& spec) {
          clock_.advance(start_takes_);
          return make(spec);
        },
        {{"cpu", MiB(100)}}, "boot", &live_,
        [this](const std::string& name, const Shares* rooms) { return replan(name, rooms); },
        Millis(60'000)});
  }
  void TearDown() override {
    scheduler_.reset();
    EXPECT_EQ(host_.alive(), 0U);
    EXPECT_TRUE(store_->leases()->empty());
    EXPECT_LE(host_.peak(), MiB(100));
    sampler_.reset();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  Loadable model(const std::string& name, uint64_t mib, uint32_t slots = 1) {
    Loadable loadable;
    loadable.name = loadable.spec.model = loadable.fingerprint = loadable.asked = name;
    loadable.device = "cpu";
    loadable.shares = {{"cpu", MiB(mib)}};
    loadable.slots = slots;
    FakeScript script;
    script.memory = MiB(mib);
    host_.script(name, script);
    const std::lock_guard lock(plans_mutex_);
    plans_[name] = loadable;
    return loadable;
  }
  // Planned anew: as the test said last; into less room where `smaller` has it.
  [[nodiscard]] Result<Loadable> replan(const std::string& name, const Shares* rooms) {
    const std::lock_guard lock(plans_mutex_);
    if (rooms == nullptr) return plans_.at(name);
    const auto found = smaller_.find(name);
    if (found == smaller_.end() ||
        on_device(found->second.shares, "cpu") > on_device(*rooms, "cpu")) {
      return fail(Code::kDoesNotFit, name + " does not fit");
    }
    return found->second;
  }
  std::unique_ptr<Session> open(const Loadable& loadable) {
    Result<std::unique_ptr<Session>> session = scheduler_->open(loadable, never_, 0);
    EXPECT_TRUE(session) << session.error().message;
    return session ? std::move(*session) : nullptr;
  }
  auto open_later(const Loadable& loadable) {
    const uint32_t before = scheduler_->in_use();
    auto later = std::async(std::launch::async,
                            [this, loadable] { return scheduler_->open(loadable, never_, 0); });
    while (scheduler_->in_use() == before) std::this_thread::yield();
    return later;
  }
  std::string state(const std::string& name) {
    for (const ModelStatus& status : scheduler_->models()) {
      if (status.name == name) return status.state;
    }
    return "";
  }
  // For longer than a keeper takes to look.
  void stays_ready(const std::string& name) {
    for (int i = 0; i < 120; ++i) {
      ASSERT_EQ(state(name), "ready");
      std::this_thread::sleep_for(Millis(1));
    }
  }
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(Millis(1));
    ASSERT_TRUE(condition());
  }

  std::string dir_;
  std::mutex plans_mutex_;
  std::map<std::string, Loadable> plans_, smaller_;
  FakeLive live_;
  TestClock clock_;
  Millis start_takes_{0};
  FakeHost host_;
  const http::Cancel never_{false};
  std::unique_ptr<Log> log_ = silent_log();
  std::unique_ptr<Store> store_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace gantry
