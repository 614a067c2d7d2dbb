// backup, restore, export: the queue's copies, and its jobs as one file for other programs.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/paths.h"
#include "foreman/restore.h"

namespace gantry {

namespace {

struct BackupFlags final : Flags {
  std::string dir, out, state;
  bool replace = false, results = false;
};

Result<void> backup(const CliContext& context, const BackupFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  const nlohmann::json body = {{"dir", absolute_path(flags.dir)}};
  Result<nlohmann::json> made = link->call("POST", "/v1/backup", body.dump());
  if (!made) return fail(made.error());
  return print(absolute_path(flags.dir) + "\n");
}

Result<void> restore(const CliContext& context, const BackupFlags& flags) {
  Result<std::string> state = state_directory(context.os, context.state_dir);
  if (!state) return fail(state.error());
  const RealClock clock;
  Result<Restored> restored =
      restore_backup(context.os, clock, absolute_path(flags.dir), *state, flags.replace);
  if (!restored) return fail(restored.error());
  std::string text = fmt::format("{} jobs to do, {} done", restored->jobs.unfinished(),
                                 restored->jobs.of(JobState::kDone));
  if (!restored->replaced.empty()) text += "; what was there is in " + restored->replaced;
  return print(text + "\n");
}

// One job: its row as the daemon shows it and, where wanted, what came out of it.
Result<void> write_job(const DaemonLink& link, const BackupFlags& flags, nlohmann::json job) {
  const auto state = job.find("state");
  if (flags.results && state != job.end() && *state == "done") {
    Result<std::string> bytes =
        link.bytes(fmt::format("/v1/jobs/{}/result", job["id"].get<std::string>()));
    if (!bytes) return fail(bytes.error());
    nlohmann::json result = nlohmann::json::parse(*bytes, nullptr, false);
    job["result"] = result.is_discarded() ? nlohmann::json(*bytes) : std::move(result);
  }
  return print(job.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

// Page by page, so that a long queue costs no memory.
Result<void> export_jobs(const CliContext& context, const BackupFlags& flags) {
  constexpr int kPage = 200;
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  std::string before;
  for (;;) {
    Result<nlohmann::json> page = link->call(
        "GET", fmt::format("/v1/jobs?limit={}{}{}", kPage,
                           flags.state.empty() ? "" : "&state=" + flags.state,
                           before.empty() ? "" : "&before=" + before), "");
    if (!page) return fail(page.error());
    const auto jobs = page->find("data");
    if (jobs == page->end() || !jobs->is_array()) {
      return fail(Code::kCorrupt, "the daemon's answer lists no jobs");
    }
    if (jobs->empty()) return {};
    for (const nlohmann::json& job : *jobs) {
      if (Result<void> done = write_job(*link, flags, job); !done) return done;
    }
    before = jobs->back().value("id", "");
  }
}

using BackupWork = Result<void> (*)(const CliContext&, const BackupFlags&);
BackupFlags& backup_command(CliContext& context, CLI::App* command, BackupWork work) {
  BackupFlags& flags = context.keep<BackupFlags>();
  command->callback([&context, &flags, work] {
    context.work = [&context, &flags, work] { return context.finish(work(context, flags)); };
  });
  return flags;
}

}  // namespace

void add_backup_commands(CLI::App& app, CliContext& context) {
  CLI::App* command =
      app.add_subcommand("backup", "Copy the queue with its results while the daemon runs");
  BackupFlags& made = backup_command(context, command, backup);
  command->add_option("dir", made.dir, "A new folder")->required()->type_name("FOLDER");
  command->footer("Example:\n  gantry backup /mnt/usb/gantry-monday");

  command = app.add_subcommand("restore", "Bring a backup back; no daemon may run");
  BackupFlags& brought = backup_command(context, command, restore);
  command->add_option("dir", brought.dir, "What `gantry backup` made")
      ->required()
      ->type_name("FOLDER");
  command->add_flag("--replace", brought.replace, "Move the queue that is there aside");
  command->footer("Example:\n  gantry stop && gantry restore --replace /mnt/usb/gantry-monday");

  command = app.add_subcommand("export", "All jobs, newest first, as JSON lines");
  BackupFlags& exported = backup_command(context, command, export_jobs);
  command->add_flag("--results", exported.results, "With what came out of each");
  command->add_option("--state", exported.state, "Only these: done, failed, ...");
  command->footer("Example:\n  gantry export --state done --results > night.jsonl");
}

}  // namespace gantry
