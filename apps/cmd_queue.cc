// submit, jobs, show, watch, cancel, logs: work that is done later, and what became of it.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/follow.h"
#include "apps/paths.h"
#include "pipe/minutes.h"

namespace gantry {

namespace {

struct SubmitFlags final : Flags {
  std::string kind, model, prompt, params, key;
  std::vector<std::string> files;
  int priority = 0;
};

struct JobFlags final : Flags {
  std::string id;
  std::vector<std::string> ids;
  uint32_t limit = 50;
  bool result = false, page = false, steps = false;
};

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<std::string> submit_params(const SubmitFlags& flags) {
  nlohmann::json params = nlohmann::json::object();
  if (!flags.params.empty()) {
    params = nlohmann::json::parse(flags.params, nullptr, false);
    if (!params.is_object()) {
      return fail(Code::kUsage, "--params is not a JSON object", "write '{\"key\": value}'");
    }
  }
  if (!flags.model.empty()) {
    const bool path = flags.model.find('/') != std::string::npos;
    params["model"] = path ? absolute_path(flags.model) : flags.model;
  }
  if (!flags.prompt.empty()) params["prompt"] = flags.prompt;
  return params.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// transcribe makes a job of every file; the other kinds take all files into one.
Result<void> submit(const CliContext& context, const SubmitFlags& flags) {
  Result<std::string> params = submit_params(flags);
  if (!params) return fail(params.error());
  std::vector<std::string> files;
  for (const std::string& file : flags.files) {
    if (Result<FileInfo> there = context.os.stat(file); !there) return fail(there.error());
    files.push_back(absolute_path(file));
  }
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  std::vector<std::vector<std::string>> orders;
  if (flags.kind == "transcribe") {
    for (const std::string& file : files) orders.push_back({file});
    if (orders.empty()) return fail(Code::kUsage, "transcribe needs recordings");
  } else {
    orders.push_back(files);
  }
  for (size_t i = 0; i < orders.size(); ++i) {
    const std::string key =
        flags.key.empty() || orders.size() == 1 ? flags.key : fmt::format("{}/{}", flags.key, i);
    Result<std::string> id =
        submit_order(*link, {flags.kind, *params, orders[i], flags.priority, key});
    if (!id) return fail(id.error());
    if (Result<void> shown = print(*id + "\n"); !shown) return shown;
  }
  return {};
}

std::string error_text(const nlohmann::json& job) {
  const auto error = job.find("error");
  if (error == job.end() || !error->is_object()) return {};
  return describe({code_from_name(text_at(*error, "code")), text_at(*error, "message"),
                   text_at(*error, "remedy")});
}

Result<void> list_jobs(const CliContext& context, const JobFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  Result<nlohmann::json> got = link->call("GET", fmt::format("/v1/jobs?limit={}", flags.limit), "");
  if (!got) return fail(got.error());
  if (context.json) return print(got->dump(2) + "\n");
  std::string out = fmt::format("{:<20}  {:<11} {:<10} {:>5}  {:<24} {}\n", "id", "kind", "state",
                                "done", "submitted", "error");
  const auto jobs = got->find("data");
  if (jobs == got->end() || !jobs->is_array()) {
    return fail(Code::kCorrupt, "the daemon's answer lists no jobs");
  }
  for (const nlohmann::json& job : *jobs) {
    const double progress = job.contains("progress") && job["progress"].is_number()
                                ? job["progress"].get<double>()
                                : 0;
    out += fmt::format("{:<20}  {:<11} {:<10} {:>4.0f}%  {:<24} {}\n", text_at(job, "id"),
                       text_at(job, "kind"), text_at(job, "state"), progress * 100,
                       text_at(job, "submitted"), error_text(job));
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

Result<void> cancel(const CliContext& context, const JobFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  for (const std::string& id : flags.ids) {
    Result<nlohmann::json> told = link->call("POST", "/v1/jobs/" + id + "/cancel", "{}");
    if (!told) return fail(told.error());
  }
  return {};
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

void add_submit(CLI::App& app, CliContext& context) {
  SubmitFlags& flags = context.keep<SubmitFlags>();
  CLI::App* command =
      app.add_subcommand("submit", "Queue work; prints one job id a line once it is on disk");
  command->add_option("kind", flags.kind, "transcribe, minutes or generate")->required();
  command->add_option("files", flags.files, "Recordings, screenshots or pictures");
  command->add_option("-m,--model", flags.model, "Model to use");
  command->add_option("-p,--prompt", flags.prompt, "Prompt (generate)");
  command->add_option("--params", flags.params, "Further parameters, a JSON object");
  command->add_option("--priority", flags.priority, "Higher goes first")
      ->check(CLI::Range(-1000, 1000));
  command->add_option("--key", flags.key, "The same key submits the same job only once");
  command->footer("Examples:\n  gantry submit transcribe *.wav\n"
                  "  gantry submit minutes meeting.m4a screen1.png screen2.png\n"
                  "  gantry submit generate -m micro-minutes -p 'Hello.'");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(submit(context, flags)); };
  });
}

}  // namespace

void add_queue_commands(CLI::App& app, CliContext& context) {
  add_submit(app, context);

  CLI::App* command = app.add_subcommand("jobs", "List jobs, newest first");
  JobFlags& listed = job_command(context, command, list_jobs);
  command->add_flag("--json", context.json, "Machine-readable");
  command->add_option("-n,--limit", listed.limit, "So many at most")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();

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

  command = app.add_subcommand("cancel", "Cancel queued or running jobs");
  JobFlags& cancelled = job_command(context, command, cancel);
  command->add_option("ids", cancelled.ids, "Job ids")->required();

  command = app.add_subcommand("logs", "The daemon's log, or that of a model's workers");
  JobFlags& logged = job_command(context, command, logs);
  command->add_option("model", logged.id, "Model; the daemon's own log when absent");
}

}  // namespace gantry
