// For tests: a foreman over a state directory, a configuration and scripted models.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "foreman/fake_live.h"
#include "foreman/fake_worker.h"
#include "foreman/foreman.h"
#include "foreman/job_state.h"
#include "foreman/step_executor.h"

namespace gantry {

class TestBench {
 public:
  // On a folder of its own, or on one that somebody else keeps.
  explicit TestBench(const std::string& kept = "") : dir(kept) {
    std::string path = testing::TempDir() + "gantry-foreman-XXXXXX";
    if (kept.empty() && ::mkdtemp(path.data()) != nullptr) dir = own_dir_ = path;
    machine.id = "test";
    machine.cpu.threads = 2;
    machine.memory.total = GiB(4);
    machine.memory.available = GiB(3);
    Device cpu;
    cpu.name = "cpu";
    cpu.backend = "CPU";
    cpu.total = GiB(4);
    cpu.free = GiB(3);
    machine.devices = {cpu};
    config.ram_budget = Budget{MiB(600), std::nullopt};
    config.idle_unload_s = 0;
    add_model("small", MiB(100));
    add_model("big", MiB(500));
    config.models.back().aliases = {"large"};
  }
  ~TestBench() {
    foreman.reset();
    if (!own_dir_.empty()) std::filesystem::remove_all(own_dir_);
  }

  void add_model(const std::string& name, Bytes memory) {
    ModelConfig model;
    model.name = name;
    model.cmd = "serve ${PORT}";
    model.memory = memory;
    config.models.push_back(model);
    FakeScript script;
    script.memory = memory;
    host.script(name, script);
  }
  [[nodiscard]] Result<void> start(StoreOptions store = {},
                                   std::function<void(const Job&)> on_run = {}) {
    foreman.reset();
    ForemanOptions options;
    options.state_dir = state();
    options.config = config;
    options.machine = machine;
    options.worker_context.log_dir = dir;
    options.worker_context.run_dir = dir;
    auto steps = std::make_unique<StepExecutor>();
    steps->on_run = std::move(on_run);
    executor = steps.get();
    options.executors["steps"] = std::move(steps);
    options.factory = host.factory();
    auto facts = std::make_unique<FakeLive>();
    live = facts.get();
    live->set("cpu", GiB(3));
    options.live = std::move(facts);
    options.decoder = decoder;
    options.store = std::move(store);
    Result<std::unique_ptr<Foreman>> started = Foreman::start(host, clock, std::move(options));
    if (!started) return fail(started.error());
    foreman = std::move(*started);
    return {};
  }
  std::string state() const { return dir + "/state"; }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(dir + "/" + name) << text;
    return dir + "/" + name;
  }
  [[nodiscard]] Result<std::string> submit(const nlohmann::json& params,
                                           std::vector<std::string> files = {}) {
    JobSpec spec;
    spec.kind = "steps";
    spec.params = params.is_null() ? "{}" : params.dump();  // {} makes a null
    spec.files = std::move(files);
    return foreman->submit(spec);
  }
  // The job once it has ended, or as it is after ten seconds.
  Job wait(const std::string& id) {
    for (int i = 0; i < 10'000; ++i) {
      Result<Job> job = foreman->job(id);
      if (!job || is_final(job->state)) return job.value_or(Job{});
      std::this_thread::sleep_for(Millis(1));
    }
    return foreman->job(id).value_or(Job{});
  }

  std::string dir;
  Machine machine;
  Config config;
  RealClock clock;
  FakeHost host;
  Decoder decoder;
  StepExecutor* executor = nullptr;  // of the running foreman
  FakeLive* live = nullptr;          // likewise
  std::unique_ptr<Foreman> foreman;

 private:
  std::string own_dir_;
};

class ForemanBench : public testing::Test, public TestBench {
 protected:
  void SetUp() override {
    const Result<void> started = start();
    ASSERT_TRUE(started) << started.error().message;
  }
  size_t files_of(const std::string& id) const {
    size_t count = 0;
    const std::filesystem::path folder = state() + "/jobs/" + id;
    if (!std::filesystem::exists(folder)) return 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
    return count;
  }
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(Millis(1));
    ASSERT_TRUE(condition());
  }
};

}  // namespace gantry
