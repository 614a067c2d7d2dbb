// For tests: an executor that does as its parameters say.
#pragma once

#include <atomic>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "foreman/client.h"

namespace gantry {

// {"steps": n, "model": name, "wait_ms": a step, "pad": bytes of each line, "fail": code,
// "fail_until": attempt, "read": true, "parts": n}. The result: each file that was read, each
// step's attempt, each part's.
class StepExecutor final : public Executor {
 public:
  std::atomic<int> runs{0}, working{0};
  bool idle() const { return working == 0; }
  std::function<void(const Job&)> on_run;

  [[nodiscard]] Result<void> check(const JobSpec& spec) const override {
    if (nlohmann::json::parse(spec.params).contains("bad")) {
      return fail(Code::kUsage, "a bad parameter");
    }
    return {};
  }
  [[nodiscard]] Result<std::string> run(JobContext& context) override {
    ++runs;
    ++working;
    Result<std::string> done = work(context);
    --working;
    return done;
  }

 private:
  [[nodiscard]] Result<std::string> work(JobContext& context) {
    if (on_run) on_run(context.job());
    const nlohmann::json params = nlohmann::json::parse(context.job().spec.params);
    std::string result;
    if (params.value("read", false)) {
      for (const std::string& file : context.job().spec.files) {
        std::ifstream in(file);
        result += base_name(file) + ": " + std::string(std::istreambuf_iterator<char>(in), {}) +
                  "\n";
      }
      if (!params.contains("fail")) return result;
    }
    for (int step = 0; step < params.value("steps", 1); ++step) {
      const std::string name = "step " + std::to_string(step);
      if (std::optional<std::string> kept = context.checkpoint(name)) {
        result += *kept;
        continue;
      }
      if (Result<void> done = one(context, params, name, step); !done) return fail(done.error());
      const std::string attempt = std::to_string(context.job().attempts);
      const std::string line =
          name + " by attempt " + attempt + std::string(params.value("pad", 0U), '.') + "\n";
      if (Result<void> saved = context.save_checkpoint(name, line); !saved) {
        return fail(saved.error());
      }
      result += line;
    }
    for (int i = 0; i < params.value("parts", 0); ++i) {
      const std::string name = "part " + std::to_string(i);
      const auto work = [&]() -> Result<std::string> {
        if (Result<void> done = one(context, params, name, i); !done) return fail(done.error());
        return name + " by attempt " + std::to_string(context.job().attempts) +
               std::string(params.value("pad", 0U), '.') + "\n";
      };
      Result<std::string> line = context.part(name, {{"n", i}}, work);
      if (!line) return line;
      result += *line;
    }
    if (params.contains("throw")) result += result.at(result.size());  // out of range
    return result;
  }

  [[nodiscard]] static Result<void> one(JobContext& context, const nlohmann::json& params,
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

}  // namespace gantry
