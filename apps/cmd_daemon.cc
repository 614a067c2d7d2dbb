// serve, stop, ps, load, unload: the daemon itself and what it holds.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/context.h"
#include "apps/paths.h"
#include "base/bytes.h"

namespace gantry {

namespace {

struct ServeFlags final : Flags {
  std::string listen;
};

struct ModelFlags final : Flags {
  std::string model;
};

// Becomes gantryd: one process, its signals and its exit status are the daemon's own.
Result<void> serve(const CliContext& context, const ServeFlags& flags) {
  Result<LinkOptions> options = context.link_options();
  if (!options) return fail(options.error());
  const std::string program = sibling_program(context.os, "gantryd");
  std::vector<std::string> argv = {program, "--state-dir", options->state_dir};
  const auto add = [&argv](const char* flag, const std::string& value) {
    if (value.empty()) return;
    argv.emplace_back(flag);
    argv.push_back(value);
  };
  add("--listen", flags.listen.empty() ? options->host : flags.listen);
  add("--config", options->config);
  add("--ram-budget", options->ram_budget);
  add("--vram-budget", options->vram_budget);
  std::vector<char*> pointers;
  for (std::string& arg : argv) pointers.push_back(arg.data());
  pointers.push_back(nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  ::execv(program.c_str(), pointers.data());
  return fail(os_error("cannot start " + program, errno));
}

Result<void> stop(const CliContext& context) {
  Result<DaemonLink> link = context.join_link();
  if (!link) {
    if (link.error().code != Code::kUnavailable) return fail(link.error());
    return print("no daemon was running\n");
  }
  Result<nlohmann::json> told = link->call("POST", "/v1/stop", "{}");
  if (!told) return fail(told.error());
  Result<LinkOptions> options = context.link_options();
  if (!options) return fail(options.error());
  const RealClock clock;
  const Millis deadline = clock.steady() + Millis(30'000);
  while (clock.steady() < deadline) {
    if (lock_file(join_path(options->state_dir, "daemon.lock"))) return print("stopped\n");
    context.os.sleep(Millis(20));
  }
  return fail(Code::kTimeout, "the daemon is still finishing its work",
              "wait, or end it with kill -9: queued jobs are kept");
}

std::string bytes_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  const bool there = found != object.end() && found->is_number_unsigned();
  return there ? format_bytes(Bytes{found->get<uint64_t>()}) : "-";
}

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

nlohmann::json list_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : nlohmann::json::array();
}

// "16/28": layers that are streamed, of all.
std::string streamed_layers(const nlohmann::json& model) {
  const nlohmann::json::json_pointer at("/stream/layers");
  if (!model.contains(at)) return "-";
  const nlohmann::json& layers = model.at(at);
  const uint64_t streamed = layers.value("streamed", uint64_t{0});
  return fmt::format("{}/{}", streamed, streamed + layers.value("resident", uint64_t{0}));
}

// What is held of the devices by others than this daemon.
std::string strangers_text(const nlohmann::json& running) {
  std::string out;
  for (const nlohmann::json& device : list_at(running, "devices")) {
    const std::string name = text_at(device, "name");
    if (device.value("elsewhere_bytes", uint64_t{0}) > 0) {
      out += fmt::format("{}: {} leased by other daemons and programs, see `gantry leases`\n",
                         name, bytes_at(device, "elsewhere_bytes"));
    }
    for (const nlohmann::json& holder : list_at(device, "strangers")) {
      out += fmt::format("{}: {} held by {} ({}) without a lease\n", name,
                         bytes_at(holder, "bytes"), text_at(holder, "name"),
                         text_at(holder, "pid"));
    }
  }
  return out.empty() ? out : "\n" + out;
}

// Of models that are one of several: who answers.
std::string modes_text(const nlohmann::json& running) {
  std::string out;
  for (const nlohmann::json& mode : list_at(running, "modes")) {
    const std::string taken = text_at(mode, "taken");
    out += text_at(mode, "model") + ": " +
           (taken == "null" ? "none can be had, see `gantry mode`"
                            : taken + " answers; " + text_at(mode, "why")) + "\n";
  }
  return out.empty() ? out : "\n" + out;
}

Result<void> ps(const CliContext& context) {
  Result<DaemonLink> link = context.join_link();
  if (!link) return fail(link.error());
  Result<nlohmann::json> running = link->call("GET", "/running", "");
  if (!running) return fail(running.error());
  if (context.json) return print(running->dump(2) + "\n");
  std::string waiting;
  std::string out = fmt::format("{:<20} {:<10} {:<9} {:>8} {:>11} {:>11} {:>8} {:>9}\n", "model",
                                "kind", "state", "pid", "predicted", "measured", "sessions",
                                "streamed");
  for (const nlohmann::json& model : list_at(*running, "running")) {
    out += fmt::format("{:<20} {:<10} {:<9} {:>8} {:>11} {:>11} {:>8} {:>9}\n",
                       text_at(model, "model"), text_at(model, "kind"), text_at(model, "state"),
                       text_at(model, "pid"), bytes_at(model, "predicted_bytes"),
                       bytes_at(model, "measured_bytes"), text_at(model, "sessions"),
                       streamed_layers(model));
    const std::string waits = text_at(model, "waits");
    if (waits != "-" && waits != "null") waiting += text_at(model, "model") + " " + waits + "\n";
  }
  if (!waiting.empty()) out += "\n" + waiting;
  out += fmt::format("\n{:<20} {:>11} {:>11} {:>13}\n", "device", "budget", "booked", "peak");
  for (const nlohmann::json& device : list_at(*running, "devices")) {
    out += fmt::format("{:<20} {:>11} {:>11} {:>13}\n", text_at(device, "name"),
                       bytes_at(device, "budget_bytes"), bytes_at(device, "booked_bytes"),
                       bytes_at(device, "measured_peak_bytes"));
  }
  out += modes_text(*running) + strangers_text(*running);
  return print(out);
}

// "gpu0", "gpu0 (whole)".
std::string lease_device(const nlohmann::json& lease) {
  return text_at(lease, "device") + (lease.value("exclusive", false) ? " (whole)" : "");
}

std::string lease_holder(const nlohmann::json& lease) {
  const std::string uid = text_at(lease, "uid");
  return text_at(lease, "holder") + (uid == "null" || uid == "-" ? "" : " of user " + uid);
}

Result<void> leases(const CliContext& context) {
  Result<DaemonLink> link = context.join_link();
  if (!link) return fail(link.error());
  Result<nlohmann::json> list = link->call("GET", "/v1/leases", "");
  if (!list) return fail(list.error());
  if (context.json) return print(list->dump(2) + "\n");
  std::string out = fmt::format("{:<24} {:<8} {:>8} {:<14} {:>11} {:<20} {:<20} {:<20} {}\n",
                                "holder", "kind", "pid", "device", "bytes", "since", "seen alive",
                                "until", "token");
  for (const nlohmann::json& lease : list_at(*list, "data")) {
    // To the second: "2026-01-31T09:15:04".
    const auto moment = [&lease](const char* key) { return text_at(lease, key).substr(0, 19); };
    const std::string until = moment("deadline");
    out += fmt::format("{:<24} {:<8} {:>8} {:<14} {:>11} {:<20} {:<20} {:<20} {}\n",
                       lease_holder(lease), text_at(lease, "kind"), text_at(lease, "pid"),
                       lease_device(lease), bytes_at(lease, "bytes"), moment("since"),
                       moment("heartbeat"), until == "null" ? "-" : until,
                       text_at(lease, "token"));
  }
  return print(out);
}

Result<void> change_model(const CliContext& context, const std::string& verb,
                          const ModelFlags& flags) {
  Result<DaemonLink> link = context.open_link();
  if (!link) return fail(link.error());
  const bool path = flags.model.find('/') != std::string::npos;
  const nlohmann::json body = {{"model", path ? absolute_path(flags.model) : flags.model}};
  Result<nlohmann::json> told = link->call("POST", "/models/" + verb, body.dump());
  if (!told) return fail(told.error());
  return {};
}

}  // namespace

void add_daemon_commands(CLI::App& app, CliContext& context) {
  ServeFlags& flags = context.keep<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Run the daemon here, until it is stopped");
  command->add_option("--listen", flags.listen, "HOST:PORT (default 127.0.0.1:8484)");
  command->footer("Example:\n  gantry serve --ram-budget 4GiB");
  command->callback([&context, &flags] {
    context.work = [&context, &flags] { return context.finish(serve(context, flags)); };
  });

  command = app.add_subcommand("stop", "Stop the daemon; queued jobs are kept");
  command->callback([&context] {
    context.work = [&context] { return context.finish(stop(context)); };
  });

  command = app.add_subcommand("ps", "Models, their workers and the memory they hold");
  command->add_flag("--json", context.json, "Machine-readable");
  command->callback([&context] {
    context.work = [&context] { return context.finish(ps(context)); };
  });

  command = app.add_subcommand("leases", "Who holds how much of which device, and until when");
  command->add_flag("--json", context.json, "Machine-readable");
  command->callback([&context] {
    context.work = [&context] { return context.finish(leases(context)); };
  });

  for (const char* verb : {"load", "unload"}) {
    ModelFlags& model = context.keep<ModelFlags>();
    command = app.add_subcommand(verb, std::string(verb) + " a model");
    command->add_option("model", model.model, "Name or file")->required();
    command->callback([&context, &model, verb] {
      context.work = [&context, &model, verb] {
        return context.finish(change_model(context, verb, model));
      };
    });
  }
}

}  // namespace gantry
