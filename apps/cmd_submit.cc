// submit: work that is done later, accepted once it is on the disk.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/follow.h"
#include "apps/moment.h"
#include "apps/paths.h"

namespace gantry {

namespace {

struct SubmitFlags final : Flags {
  std::string kind, model, prompt, params, key, each, at, deadline;
  std::string device;
  std::vector<std::string> files, after, shortage;
  int priority = 0;
  uint32_t attempts = 0;
  bool keep = false, stays = false;
};

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

// Every file of the folder that has something in it, in the order of their names.
Result<std::vector<std::string>> files_of(Os& os, const std::string& folder) {
  const std::string dir = absolute_path(folder);
  Result<std::vector<std::string>> names = os.list(dir);
  if (!names) return fail(names.error());
  std::ranges::sort(*names);
  std::vector<std::string> files;
  for (const std::string& name : *names) {
    const std::string file = join_path(dir, name);
    const Result<FileInfo> info = os.stat(file);
    if (name.starts_with('.') || !info || info->is_dir || info->size == Bytes{}) continue;
    files.push_back(file);
  }
  if (files.empty()) {
    return fail(Code::kUsage, folder + " has no files", "name the folder of the recordings");
  }
  return files;
}

// transcribe and summarize make a job of every file, and so does --each; otherwise all files go
// into one.
Result<std::vector<std::vector<std::string>>> orders_of(Os& os, const SubmitFlags& flags) {
  std::vector<std::string> files;
  for (const std::string& file : flags.files) {
    if (Result<FileInfo> there = os.stat(file); !there) return fail(there.error());
    files.push_back(absolute_path(file));
  }
  std::vector<std::vector<std::string>> orders;
  if (!flags.each.empty()) {
    if (!files.empty()) return fail(Code::kUsage, "name files or --each FOLDER, not both");
    Result<std::vector<std::string>> found = files_of(os, flags.each);
    if (!found) return fail(found.error());
    for (const std::string& file : *found) orders.push_back({file});
  } else if (flags.kind == "transcribe" || flags.kind == "summarize" || flags.kind == "diarize") {
    for (const std::string& file : files) orders.push_back({file});
    if (orders.empty()) return fail(Code::kUsage, flags.kind + " needs files");
  } else {
    orders.push_back(files);
  }
  return orders;
}

Result<void> set_conditions(const SubmitFlags& flags, JobOrder* order) {
  const RealClock clock;
  for (const auto& [text, out] : {std::pair{&flags.at, &order->not_before},
                                  std::pair{&flags.deadline, &order->deadline}}) {
    if (text->empty()) continue;
    Result<WallTime> moment = parse_moment(*text, clock.wall());
    if (!moment) return fail(moment.error());
    *out = format_time(*moment);
  }
  order->depends_on = flags.after;
  order->attempts_max = flags.attempts;
  order->keep = flags.keep;
  order->device = flags.device;
  order->shortage = flags.shortage;
  order->stays = flags.stays;
  return {};
}

Result<void> submit(const CliContext& context, const SubmitFlags& flags) {
  Result<std::string> params = submit_params(flags);
  if (!params) return fail(params.error());
  Result<std::vector<std::vector<std::string>>> orders = orders_of(context.os, flags);
  if (!orders) return fail(orders.error());
  JobOrder order{flags.kind, *params, {}, flags.priority, {}};
  if (Result<void> set = set_conditions(flags, &order); !set) return set;
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  for (size_t i = 0; i < orders->size(); ++i) {
    order.files = (*orders)[i];
    order.idempotency_key = flags.key.empty() || orders->size() == 1
                                ? flags.key
                                : fmt::format("{}/{}", flags.key, i);
    Result<std::string> id = submit_order(*link, order);
    if (!id) return fail(id.error());
    if (Result<void> shown = print(*id + "\n"); !shown) return shown;
  }
  return {};
}

}  // namespace

void add_submit(CLI::App& app, CliContext& context) {
  SubmitFlags& flags = context.keep<SubmitFlags>();
  CLI::App* command =
      app.add_subcommand("submit", "Queue work; prints one job id a line once it is on disk");
  command->add_option("kind", flags.kind,
                      "transcribe, minutes, summarize, generate, diarize, speak or talk")
      ->required();
  command->add_option("files", flags.files, "Recordings, screenshots or pictures");
  command->add_option("--each", flags.each, "A job for every file in this folder")
      ->type_name("FOLDER");
  command->add_flag("--keep", flags.keep,
                    "Copy the files first: they may change or go once the id is printed");
  command->add_option("-m,--model", flags.model, "Model to use");
  command->add_option("-p,--prompt", flags.prompt, "Prompt (generate)");
  command->add_option("--params", flags.params, "Further parameters, a JSON object");
  command->add_option("--priority", flags.priority, "Higher goes first")
      ->check(CLI::Range(-100, 100));
  command->add_option("--key", flags.key, "The same key submits the same job only once");
  command->add_option("--at", flags.at, "Not before: 22:00, +90m, 2026-01-31T22:00:00Z")
      ->type_name("TIME");
  command->add_option("--deadline", flags.deadline, "Not begun after this time")
      ->type_name("TIME");
  command->add_option("--after", flags.after, "Once these jobs are done")->type_name("ID");
  command->add_option("--attempts", flags.attempts, "No more often than this (0: no limit)")
      ->check(CLI::Range(0, 1000));
  command->add_option("--device", flags.device,
                      "Where its models compute, as far as they can: cpu, gpu0, ...");
  command->add_option("--on-shortage", flags.shortage,
                      "When memory is short, in this order: wait, shrink, cpu, cloud, refuse")
      ->delimiter(',')->type_name("WORDS");
  command->add_flag("--private", flags.stays, "Nothing of it leaves this machine");
  command->footer("Examples:\n  gantry submit transcribe *.wav\n"
                  "  gantry submit transcribe --each recordings --at 22:00 --deadline +12h\n"
                  "  gantry submit transcribe --each /media/stick --keep   then pull it out\n"
                  "  gantry submit minutes meeting.m4a screen1.png screen2.png\n"
                  "  gantry submit generate -m micro-minutes -p 'Hello.' --after ID");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(submit(context, flags)); };
  });
}

}  // namespace gantry
