// Composition of the daemon.
#include "apps/daemon.h"

#include <fmt/format.h>
#include <unistd.h>

#include "apps/paths.h"
#include "base/log.h"
#include "foreman/foreman.h"
#include "pipe/executors.h"
#include "serve/serve.h"

namespace gantry {

namespace {

constexpr Millis kLingerPoll{200};
constexpr Bytes kDaemonLogMax = MiB(8);

struct Folders {
  std::string state, runtime, logs, spool;
};

Result<Folders> make_folders(Os& os, const DaemonFlags& flags) {
  Result<std::string> state = state_directory(os, flags.state_dir);
  if (!state) return fail(state.error());
  Folders folders{*state, {}, join_path(*state, "logs"), join_path(*state, "spool")};
  for (const std::string* dir : {&folders.state, &folders.logs, &folders.spool}) {
    if (Result<void> made = os.make_dirs(*dir, 0700); !made) return fail(made.error());
  }
  if (::access(folders.state.c_str(), W_OK) != 0) {
    return fail(os_error("cannot write in " + folders.state, errno));
  }
  Result<std::string> runtime = runtime_directory(os, *state);
  if (!runtime) return fail(runtime.error());
  folders.runtime = *runtime;
  return folders;
}

// Memory that every user's daemon finds, and that a new start of the machine empties.
constexpr const char* kLeaseDir = "/dev/shm/gantry-leases";

Result<Config> read_config(Os& os, const DaemonFlags& flags) {
  std::map<std::string, std::string> over;
  if (!flags.listen.empty()) over["listen"] = flags.listen;
  if (!flags.ram_budget.empty()) over["ram_budget"] = flags.ram_budget;
  if (!flags.vram_budget.empty()) over["vram_budget"] = flags.vram_budget;
  Result<Config> config = load_config(os, flags.config, over);
  if (config && config->lease_dir.empty()) config->lease_dir = kLeaseDir;
  return config;
}

// The doors: the TCP address for everybody, the socket for the owner of the state directory.
Result<ServeOptions> serve_options(Os& os, const Config& config, const DaemonFlags& flags,
                                   const Folders& folders) {
  Result<http::Address> tcp = http::parse_address(config.listen);
  if (!tcp) return fail(tcp.error());
  ServeOptions options;
  options.listen = {*tcp, {socket_path(folders.runtime), {}, 0}};
  options.api_key = config.api_key;
  options.allowed_hosts = config.allowed_hosts;
  options.allowed_origins = config.allowed_origins;
  options.version = GANTRY_VERSION;
  options.ram_budget = flags.ram_budget;
  options.vram_budget = flags.vram_budget;
  options.spool_dir = folders.spool;
  const WorkerContext workers{.log_dir = folders.logs,
                              .worker_exe = sibling_program(os, "gantry-worker")};
  options.encode = [&os, workers](SoundFormat format, uint32_t rate) {
    return SoundEncoding::start(os, workers, format, rate);
  };
  return options;
}

Result<std::unique_ptr<Foreman>> start_foreman(Os& os, const Clock& clock, const Config& config,
                                               const Folders& folders, Log& log) {
  const std::string worker = sibling_program(os, "gantry-worker");
  Result<Machine> machine =
      audit(os, {config.models_dir, worker, join_path(folders.state, "bench.json")});
  if (!machine) return fail(machine.error());
  ForemanOptions options;
  options.state_dir = folders.state;
  options.config = config;
  options.machine = *machine;
  options.worker_context = {folders.runtime, folders.logs, GANTRY_ENGINE_DIR, worker, nullptr,
                            join_path(options.state_dir, "encoders")};
  options.executors = make_executors(os);
  options.log = &log;
  return Foreman::start(os, clock, std::move(options));
}

// Waits for the end's reason; a shared daemon's is having nothing to do.
void wait_for_end(Os& os, const Clock& clock, const Interrupt& interrupt,
                  const std::atomic<bool>& asked, const Millis* linger, Foreman& foreman,
                  const ApiServer& server) {
  Millis busy_until = clock.steady();
  while (!interrupt.flag() && !asked) {
    os.sleep(kLingerPoll);
    if (linger == nullptr) continue;
    if (server.working() > 0 || !foreman.idle()) busy_until = clock.steady();
    if (clock.steady() - std::max(busy_until, server.last_worked()) > *linger) return;
  }
}

}  // namespace

Result<void> run_daemon(Os& os, Interrupt& interrupt, const DaemonFlags& flags) {
  const RealClock clock;
  Result<Folders> folders = make_folders(os, flags);
  if (!folders) return fail(folders.error());
  Result<Config> config = read_config(os, flags);
  if (!config) return fail(config.error());
  Result<ServeOptions> serving = serve_options(os, *config, flags, *folders);
  if (!serving) return fail(serving.error());
  Result<std::unique_ptr<Log>> log = open_log(join_path(folders->state, "gantryd.log"),
                                              kDaemonLogMax);
  if (!log) return fail(log.error());
  Result<std::unique_ptr<Foreman>> foreman =
      start_foreman(os, clock, *config, *folders, **log);
  if (!foreman) return fail(foreman.error());
  std::atomic<bool> asked{false};
  serving->on_stop = [&asked] { asked = true; };
  Result<std::unique_ptr<ApiServer>> server =
      serve_api(*serving, **foreman, os, clock, **log);
  if (!server) return fail(server.error());
  (*log)->info("started", {{"version", GANTRY_VERSION},
                           {"listen", (*server)->addresses().front().text()},
                           {"pid", std::to_string(::getpid())}});
  const Millis linger{int64_t{config->linger_s} * 1000};
  wait_for_end(os, clock, interrupt, asked, flags.shared ? &linger : nullptr, **foreman,
               **server);
  (*log)->info("stopping", {{"signal", std::to_string(interrupt.signal())}});
  (*server)->stop();
  (*foreman)->stop();
  (*log)->info("stopped", {});
  return {};
}

}  // namespace gantry
