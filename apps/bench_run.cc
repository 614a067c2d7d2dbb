// Process and protocol of a measurement.
#include "apps/bench_run.h"

#include <fmt/format.h>

#include <csignal>

namespace gantry {

namespace {

constexpr Millis kLook{200};        // how soon an interrupt is seen
constexpr Millis kGoodbye{10'000};  // for a worker to release what it holds
constexpr Bytes kEventMax = MiB(4);

Error ended(const BenchPlan& plan, const std::optional<Exit>& exit) {
  return {Code::kWorkerFailed,
          "the measuring process ended early: " + (exit ? exit->text() : "no status"),
          plan.log.empty() ? "give --log FILE and look there" : "see " + plan.log};
}

}  // namespace

ProcessSpec worker_spec(const BenchPlan& plan, const BenchSetup& setup) {
  ProcessSpec spec;
  const auto n = [](int value) { return std::to_string(value); };
  spec.argv = {plan.worker, "measure", "-m", plan.model, "-p", n(plan.prompt), "-n",
               n(plan.decode), "-s", n(plan.sequences), "--warmup", n(plan.warmup),
               "--iterations", n(plan.iterations), "-t", n(plan.threads), "-b", n(plan.batch),
               "--ub", n(plan.ubatch), "-c", n(plan.context), "--lm", setup.load_mode,
               // The same kernels for all, whatever an engine would choose by itself.
               "--fa", "on"};
  if (!setup.repack) spec.argv.push_back("--no-repack");
  // Only what is said here decides: settings of the user's shell would reach every configuration.
  spec.bare_env = true;
  // Spinning threads would take the processors that feed a stream.
  spec.env.emplace_back("OMP_WAIT_POLICY", "passive");
  if (setup.stream) {
    spec.argv.insert(spec.argv.end(), {"--plugin", plan.plugin});
    spec.env.emplace_back("GANTRY_STREAM_SUMMARY", "0");
    if (!plan.inner.empty()) spec.env.emplace_back("GANTRY_STREAM_INNER", plan.inner);
    if (!plan.vram_budget.empty()) {
      spec.env.emplace_back("GANTRY_STREAM_DEVICE_BUDGET", plan.vram_budget);
    }
    // The configuration's own words come last and win.
    for (auto& one : stream_environment(setup)) {
      std::erase_if(spec.env, [&one](const auto& had) { return had.first == one.first; });
      spec.env.push_back(std::move(one));
    }
  } else {
    spec.argv.insert(spec.argv.end(), {"--num-gpu-layers", n(setup.gpu_layers)});
  }
  spec.pipe_io = true;
  spec.output_file = plan.log;
  return spec;
}

Result<void> take_event(const std::string& line, BenchRun* run) {
  nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
  const auto text = [&event](const char* key) {
    const auto found = event.find(key);
    return found != event.end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (!event.is_object()) {
    return fail(Code::kCorrupt, "the measuring process printed no event: " + line.substr(0, 80));
  }
  const std::string name = text("event");
  if (name == "error") {
    return fail(code_from_name(text("code")), text("message"), text("remedy"));
  }
  if (name == "loaded") run->loaded = std::move(event);
  else if (name == "iteration") run->iterations.push_back(std::move(event));
  else if (name == "done") run->done = std::move(event);
  else return fail(Code::kCorrupt, "unknown event " + name);
  return {};
}

Result<BenchRun> run_worker(Os& os, const BenchPlan& plan, const BenchSetup& setup,
                            const Interrupt& interrupt) {
  Result<std::unique_ptr<Process>> process = os.spawn(worker_spec(plan, setup));
  if (!process) return fail(process.error());
  BenchRun run;
  while (run.done.is_null()) {
    if (interrupt.flag()) {
      (*process)->signal_group(SIGTERM);
      (void)(*process)->wait(kGoodbye);  // then it is killed
      return fail(Code::kCancelled, "interrupted");
    }
    const Result<std::string> line = (*process)->read_line(kLook, kEventMax);
    if (!line && line.error().code == Code::kTimeout) continue;
    if (!line) return fail(ended(plan, (*process)->wait(kGoodbye)));
    if (Result<void> taken = take_event(*line, &run); !taken) return fail(taken.error());
  }
  const std::optional<Exit> exit = (*process)->wait(kGoodbye);
  if (!exit || !exit->ok()) return fail(ended(plan, exit));
  return run;
}

std::vector<double> series(const std::vector<BenchRun>& runs, const char* phase,
                           const std::string& field) {
  const nlohmann::json::json_pointer where("/" + std::string(phase) + "/" + field);
  std::vector<double> out;
  for (const BenchRun& run : runs) {
    for (const nlohmann::json& iteration : run.iterations) {
      if (iteration.contains(where) && iteration.at(where).is_number()) {
        out.push_back(iteration.at(where).get<double>());
      }
    }
  }
  return out;
}

}  // namespace gantry
