// For tests: a state directory, a configuration of scripted models, executors that do as their
// parameters say.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "foreman/fake_worker.h"
#include "foreman/foreman.h"

namespace gantry {

// {"steps": n, "model": name, "wait_ms": a step, "fail": code, "fail_until": attempt}. The result is
// one line a step with the attempt that did it.
class StepExecutor final : public Executor {
 public:
  std::atomic<int> runs{0};
  std::function<void(const Job&)> on_run;

  Result<void> check(const JobSpec& spec) const override {
    if (nlohmann::json::parse(spec.params).contains("bad")) {
      return fail(Code::kUsage, "a bad parameter");
    }
    return {};
  }
  Result<std::string> run(JobContext& context) override {
    ++runs;
    if (on_run) on_run(context.job());
    const nlohmann::json params = nlohmann::json::parse(context.job().spec.params);
    std::string result;
    for (int step = 0; step < params.value("steps", 1); ++step) {
      const std::string name = "step " + std::to_string(step);
      if (std::optional<std::string> kept = context.checkpoint(name)) {
        result += *kept;
        continue;
      }
      if (Result<void> done = one(context, params, name, step); !done) return fail(done.error());
      const std::string line = name + " by attempt " + std::to_string(context.job().attempts) + "\n";
      if (Result<void> saved = context.save_checkpoint(name, line); !saved) {
        return fail(saved.error());
      }
      result += line;
    }
    if (params.contains("throw")) throw std::runtime_error("thrown");
    return result;
  }

 private:
  static Result<void> one(JobContext& context, const nlohmann::json& params,
                          const std::string& name, int step) {
    context.progress(step / 10.0, name);
    context.event({{"type", "step_started"}, {"name", name}});
    if (params.contains("model")) {
      auto session = context.foreman().open(params["model"], context.cancelled(), true);
      if (!session) return fail(session.error());
      if (Result<void> alive = (*session)->worker().alive(); !alive) return alive;
    }
    for (int ms = params.value("wait_ms", 0); ms > 0; --ms) {
      if (context.cancelled()) return fail(Code::kCancelled, "told to end");
      std::this_thread::sleep_for(Millis(1));
    }
    const bool over = context.job().attempts >= params.value("fail_until", 1'000'000U);
    if (params.contains("fail") && !over) {
      return fail(static_cast<Code>(params["fail"].get<int>()), "as told");
    }
    return {};
  }
};

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
  Result<void> start(StoreOptions store = {}, std::function<void(const Job&)> on_run = {}) {
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
  Result<std::string> submit(const nlohmann::json& params, std::vector<std::string> files = {}) {
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
      if (!job || job->state == JobState::kDone || job->state == JobState::kFailed ||
          job->state == JobState::kCancelled) {
        return job.value_or(Job{});
      }
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
  std::unique_ptr<Foreman> foreman;

 private:
  std::string own_dir_;
};

}  // namespace gantry
