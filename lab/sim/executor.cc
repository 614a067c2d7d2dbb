// Steps, checkpoints, sessions.
#include "lab/sim/executor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace gantry::sim {

Result<void> use_session(World& world, Session& session, Millis time, const http::Cancel& cancel,
                         const std::function<void()>& meanwhile) {
  const int pid = session.worker().pid();
  if (SimProcess* process = world.find(pid)) ++process->users;
  Result<std::vector<Segment>> done =
      session.worker().transcribe({std::to_string(time.count())}, cancel,
                                  [&](const Segment&, Progress) { meanwhile(); });
  if (SimProcess* process = world.find(pid); process != nullptr && process->users > 0) {
    --process->users;
  }
  session.decoded(10, 0.1);
  if (!done) return gantry::fail(done.error());
  return {};
}

Result<void> SimExecutor::check(const JobSpec&) const { return {}; }

Result<std::string> SimExecutor::run(JobContext& context) {
  history_.run_began(context.job());
  const std::vector<std::string>& files = context.job().spec.files;
  if (!files.empty()) {
    const auto file = world_.files.find(files.front());
    history_.given(context.job(), file == world_.files.end() ? nullptr : &file->second.now);
  }
  Result<std::string> result = steps(context);
  history_.run_ended(context.job(), result.has_value());
  return result;
}

Result<std::string> SimExecutor::steps(JobContext& context) {
  const Job& job = context.job();
  const nlohmann::json params = nlohmann::json::parse(job.spec.params);
  const auto sort = static_cast<Sort>(params["sort"].get<int>());
  const Entry& entry = history_.entry(number_of(job));
  std::string result;
  for (int i = 0; i < params["steps"].get<int>(); ++i) {
    const std::string name = fmt::format("step {}", i);
    const bool as_part = (entry.n + i) % 2 == 1;  // a job of its own, else a checkpoint
    const nlohmann::json what = {{"step", i}};
    const std::optional<std::string> kept =
        as_part ? context.part_done(name, what) : context.checkpoint(name);
    history_.kept(job, name, kept);
    if (kept) {
      result += *kept;
      continue;
    }
    context.progress(i / 10.0, name);
    context.event({{"type", "step_started"}, {"name", name}});
    bool was_cancelled = false;
    const auto make = [&]() -> Result<std::string> {
      Result<void> done = work(context, params["model"], params["ms"]);
      if (!done) return gantry::fail(done.error());
      if (sort == Sort::kPoison) {
        return gantry::fail(Code::kWorkerFailed, "this one always ends so");
      }
      if (sort == Sort::kFlaky && job.attempts == 1) {
        return gantry::fail(Code::kUnavailable, "not the first time");
      }
      std::string line = fmt::format("{} of {} by attempt {} at {}\n", name, entry.n, job.attempts,
                                     fibers_.now().count());
      history_.saving(job, name, line);
      was_cancelled = entry.cancelled.has_value();
      return line;
    };
    Result<std::string> line = as_part ? context.part(name, what, make) : make();
    if (!line) return line;
    if (!as_part) {
      Result<void> saved = context.save_checkpoint(name, *line);
      if (!saved) return gantry::fail(saved.error());
    }
    history_.saved(job, name, *line, was_cancelled);
    result += *line;
  }
  if (sort == Sort::kRefused) return gantry::fail(Code::kCorrupt, "these bytes are no recording");
  return result;
}

Result<void> SimExecutor::work(JobContext& context, const std::string& model, int ms) {
  const Job& job = context.job();
  const auto look = [&] { history_.working(job, context.cancelled()); };
  if (!model.empty()) {
    Result<std::unique_ptr<Session>> session =
        context.foreman().open(model, context.cancelled(), true);
    if (!session) return gantry::fail(session.error());
    return use_session(world_, **session, Millis(ms), context.cancelled(), look);
  }
  for (int left = ms; left > 0; left -= 20) {
    if (context.cancelled()) return gantry::fail(Code::kCancelled, "told to end");
    look();
    fibers_.sleep(Millis(std::min(left, 20)));
  }
  return {};
}

}  // namespace gantry::sim
