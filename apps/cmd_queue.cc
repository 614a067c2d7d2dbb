// jobs, show, watch, cancel, pause, resume, retry, prune, logs: the queue and its jobs.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <tuple>

#include "apps/context.h"
#include "apps/follow.h"
#include "apps/moment.h"
#include "apps/paths.h"
#include "pipe/minutes.h"

namespace gantry {

namespace {

struct JobFlags final : Flags {
  std::string id;
  std::vector<std::string> ids;
  std::string state, parts_of;
  uint32_t limit = 50;
  std::string older;
  bool result = false, page = false, steps = false, dry = false;
};

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string error_text(const nlohmann::json& job) {
  const auto error = job.find("error");
  if (error == job.end() || !error->is_object()) return {};
  return describe({code_from_name(text_at(*error, "code")), text_at(*error, "message"),
                   text_at(*error, "remedy")});
}

// What it waits for, how long it will take, or what went wrong.
std::string remark(const nlohmann::json& job) {
  if (const std::string waits = text_at(job, "waits_for"); !waits.empty()) {
    return "waits for " + waits;
  }
  const auto left = job.find("remaining_s");
  if (left != job.end() && left->is_number()) {
    const auto seconds = static_cast<int64_t>(left->get<double>() + 0.5);
    return seconds >= 90 ? fmt::format("about {} min left", (seconds + 30) / 60)
                         : fmt::format("about {} s left", seconds);
  }
  return error_text(job);
}

Result<void> list_jobs(const CliContext& context, const JobFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  const std::string state = flags.state.empty() ? "" : "&state=" + flags.state;
  const std::string whole = flags.parts_of.empty() ? "" : "&part_of=" + flags.parts_of;
  Result<nlohmann::json> got =
      link->call("GET", fmt::format("/v1/jobs?limit={}{}{}", flags.limit, state, whole), "");
  if (!got) return fail(got.error());
  if (context.json) return print(got->dump(2) + "\n");
  std::string out = fmt::format("{:<20}  {:<11} {:<10} {:>5}  {:<24} {}\n", "id", "kind", "state",
                                "done", "submitted", "remark");
  const auto jobs = got->find("data");
  if (jobs == got->end() || !jobs->is_array()) {
    return fail(Code::kCorrupt, "the daemon's answer lists no jobs");
  }
  for (const nlohmann::json& job : *jobs) {
    const double progress = job.contains("progress") && job["progress"].is_number()
                                ? job["progress"].get<double>()
                                : 0;
    const std::string part = text_at(job, "part");
    const std::string what = part.empty() ? text_at(job, "kind") : part;
    out += fmt::format("{:<20}  {:<11} {:<10} {:>4.0f}%  {:<24} {}\n", text_at(job, "id"), what,
                       text_at(job, "state"), progress * 100,
                       text_at(job, "submitted"), remark(job));
  }
  return print(out);
}

// The result as a page of minutes, or its steps as a table.
Result<void> show_part(const std::string& result, bool page) {
  if (page) {
    Result<std::string> text = render_minutes(result);
    if (!text) return fail(text.error());
    return print(*text);
  }
  const nlohmann::json parsed = nlohmann::json::parse(result, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("steps")) {
    return fail(Code::kUnsupported, "the job's result lists no steps");
  }
  return print(step_table(parsed["steps"]));
}

Result<void> show(const CliContext& context, const JobFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<nlohmann::json> job = link->call("GET", "/v1/jobs/" + flags.id, "");
  if (!job) return fail(job.error());
  if (flags.result || flags.page || flags.steps) {
    if (Result<void> done = job_outcome(*job); !done) return done;
    Result<std::string> bytes = link->bytes("/v1/jobs/" + flags.id + "/result");
    if (!bytes) return fail(bytes.error());
    if (flags.result) return print(*bytes);
    return show_part(*bytes, flags.page);
  }
  if (context.json) return print(job->dump(2) + "\n");
  std::string out;
  for (const auto& [key, value] : job->items()) {
    if (value.is_null() || key == "error") continue;
    out += fmt::format("{:<14} {}\n", key, value.is_string() ? value.get<std::string>()
                                                            : value.dump());
  }
  if (const std::string error = error_text(*job); !error.empty()) {
    out += fmt::format("{:<14} {}\n", "error", error);
  }
  return print(out);
}

Result<void> watch(const CliContext& context, const JobFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  StepDisplay display(::isatty(STDERR_FILENO) == 1, true);
  const Result<void> watched =
      link->events("/v1/jobs/" + flags.id + "/events", [&](std::string_view text) {
        if (context.json) return print(std::string(text) + "\n").has_value();
        const nlohmann::json event = nlohmann::json::parse(text, nullptr, false);
        if (event.is_object()) display.show(event);
        return true;
      });
  if (!watched) return watched;
  Result<nlohmann::json> job = link->call("GET", "/v1/jobs/" + flags.id, "");
  if (!job) return fail(job.error());
  return job_outcome(*job);
}

Result<void> tell_each(const CliContext& context, const JobFlags& flags, const char* word) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  for (const std::string& id : flags.ids) {
    Result<nlohmann::json> told =
        link->call("POST", fmt::format("/v1/jobs/{}/{}", id, word), "{}");
    if (!told) return fail(told.error());
  }
  return {};
}

Result<void> cancel(const CliContext& context, const JobFlags& flags) {
  return tell_each(context, flags, "cancel");
}
Result<void> pause(const CliContext& context, const JobFlags& flags) {
  return tell_each(context, flags, "pause");
}
Result<void> resume(const CliContext& context, const JobFlags& flags) {
  return tell_each(context, flags, "resume");
}
Result<void> retry(const CliContext& context, const JobFlags& flags) {
  return tell_each(context, flags, "retry");
}

Result<void> prune(const CliContext& context, const JobFlags& flags) {
  nlohmann::json body = {{"dry_run", flags.dry}};
  if (!flags.state.empty()) body["state"] = flags.state;
  if (!flags.older.empty()) {
    // "+30d" from the beginning of time.
    Result<WallTime> age = parse_moment("+" + flags.older, WallTime{});
    if (!age) {
      return fail(Code::kUsage, flags.older + " is no age", "write 30d, 12h, 90m or 10s");
    }
    body["older_s"] = std::chrono::duration_cast<std::chrono::seconds>(
                          age->time_since_epoch()).count();
  }
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<nlohmann::json> told = link->call("POST", "/v1/prune", body.dump());
  if (!told) return fail(told.error());
  if (context.json) return print(told->dump(2) + "\n");
  std::string out;
  for (const nlohmann::json& id : told->value("pruned", nlohmann::json::array())) {
    out += id.get<std::string>() + "\n";
  }
  return print(out);
}

Result<void> logs(const CliContext& context, const JobFlags& flags) {
  if (flags.id.empty()) {
    Result<std::string> dir = state_directory(context.os, context.state_dir);
    if (!dir) return fail(dir.error());
    Result<std::string> text = context.os.read_file(join_path(*dir, "gantryd.log"), MiB(64));
    if (!text) return fail(text.error());
    return print(*text);
  }
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<std::string> text = link->bytes("/v1/logs/" + flags.id);
  if (!text) return fail(text.error());
  return print(*text);
}

// A subcommand that runs `work` with its own JobFlags.
using JobWork = Result<void> (*)(const CliContext&, const JobFlags&);
JobFlags& job_command(CliContext& context, CLI::App* command, JobWork work) {
  JobFlags& flags = context.keep<JobFlags>();
  command->callback([&context, &flags, work] {
    context.work = [&context, &flags, work] { return context.finish(work(context, flags)); };
  });
  return flags;
}

}  // namespace

void add_queue_commands(CLI::App& app, CliContext& context) {
  CLI::App* command = app.add_subcommand("jobs", "List jobs, newest first");
  JobFlags& listed = job_command(context, command, list_jobs);
  command->add_flag("--json", context.json, "Machine-readable");
  command->add_option("-n,--limit", listed.limit, "So many at most")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--parts", listed.parts_of, "The parts of this job")->type_name("ID");
  command->add_option("--state", listed.state, "Only these")
      ->check(CLI::IsMember({"waiting", "queued", "running", "paused", "done", "failed",
                             "cancelled", "quarantined"}));

  command = app.add_subcommand("show", "One job: state, attempts, result");
  JobFlags& shown = job_command(context, command, show);
  command->add_option("id", shown.id, "Job id")->required();
  command->add_flag("--json", context.json, "Machine-readable");
  command->add_flag("--result", shown.result, "Print the result itself");
  command->add_flag("--page", shown.page, "Print the minutes as a page (minutes jobs)");
  command->add_flag("--steps", shown.steps, "Print what each step cost");

  command = app.add_subcommand("watch", "Follow a job until it has ended");
  JobFlags& watched = job_command(context, command, watch);
  command->add_option("id", watched.id, "Job id")->required();
  command->add_flag("--json", context.json, "Events as JSON lines");

  const std::array<std::tuple<const char*, const char*, JobWork>, 4> words = {{
      {"cancel", "Cancel jobs that have not ended", cancel},
      {"pause", "Take jobs out of the line; running ones stop at their last checkpoint", pause},
      {"resume", "Put paused jobs back in line", resume},
      {"retry", "Try failed, cancelled or quarantined jobs once more", retry},
  }};
  for (const auto& [name, about, work] : words) {
    command = app.add_subcommand(name, about);
    JobFlags& named = job_command(context, command, work);
    command->add_option("ids", named.ids, "Job ids")->required();
  }

  command = app.add_subcommand("prune", "Remove jobs that have ended, with their results");
  JobFlags& pruned = job_command(context, command, prune);
  command->add_option("--older", pruned.older, "Ended longer ago than this: 30d, 12h")
      ->type_name("AGE");
  command->add_option("--state", pruned.state, "Only these")
      ->check(CLI::IsMember({"done", "failed", "cancelled"}));
  command->add_flag("--dry-run", pruned.dry, "Only print which");
  command->add_flag("--json", context.json, "Machine-readable");
  command->footer("Prints the ids. Without --older and --state: by `keep_jobs` and `keep_days` of\n"
                  "the configuration, which the daemon keeps to anyway. Quarantined jobs stay and\n"
                  "those that another job needs. A key of a pruned job may be used anew.\n"
                  "Example:\n  gantry prune --older 30d --state failed --dry-run");

  command = app.add_subcommand("logs", "The daemon's log, or that of a model's workers");
  JobFlags& logged = job_command(context, command, logs);
  command->add_option("model", logged.id, "Model; the daemon's own log when absent");
}

}  // namespace gantry
