// Putting the parts together, and the calls that need several of them.
#include "foreman/foreman.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/ids.h"
#include "base/limits.h"
#include "config/demand_keys.h"
#include "config/npu_worker_config.h"
#include "foreman/device_names.h"
#include "foreman/events.h"
#include "foreman/job_state.h"
#include "foreman/leftovers.h"
#include "foreman/modes.h"
#include "foreman/pruner.h"
#include "foreman/restore.h"
#include "foreman/roster.h"
#include "foreman/router.h"
#include "foreman/runner.h"
#include "foreman/sampler.h"
#include "foreman/sha256.h"
#include "foreman/standing.h"
#include "model/voice_keys.h"
#include "plan/levers.h"

namespace gantry {

namespace {

constexpr size_t kIdempotencyKeyMax = 256;
constexpr Millis kStrangersKept{10'000};

Error stopping_error() {
  return {Code::kUnavailable, "the daemon is stopping", "start it again"};
}

// Opened, not read: whether this user may is the question.
Result<FileIdentity> check_input(Os& os, const std::string& path) {
  if (!path.starts_with('/')) {
    return fail(Code::kUsage, path + " is not an absolute path", "name the file from the root on");
  }
  Result<FileIdentity> found = identify(os, path);
  if (!found) return found;
  if (Result<std::unique_ptr<MappedFile>> open = os.map_file(path); !open) {
    return fail(open.error());
  }
  if (found->size == Bytes{}) {
    return fail(Code::kUsage, path + " is empty", "name a file with something in it");
  }
  return found;
}

}  // namespace

// In the order they are made; destroyed the other way round.
struct Foreman::Parts {
  Parts(Os& os_, const Clock& clock_, ForemanOptions options_)
      : os(os_), clock(clock_), options(std::move(options_)) {}

  Os& os;
  const Clock& clock;
  ForemanOptions options;
  Machine machine;  // without what is left to others
  std::unique_ptr<Log> silent = silent_log();
  Log* log = nullptr;
  std::string jobs_dir;
  std::unique_ptr<FileLock> lock;
  std::unique_ptr<Store> store;
  std::unique_ptr<Inputs> inputs;
  std::unique_ptr<Pruner> pruner;
  Events events;
  std::unique_ptr<Sampler> sampler;
  std::unique_ptr<Cgroups> cgroups;
  std::unique_ptr<LeaseFolder> shared;
  Mutex seen_mutex;
  std::vector<LiveDevice> seen;  // accelerators and who holds their memory
  std::optional<Millis> seen_at;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<EngineAnswers> engine;
  std::unique_ptr<Roster> roster;
  std::unique_ptr<Modes> modes;
  std::unique_ptr<Router> router;
  std::unique_ptr<Runner> runner;
  std::unique_ptr<Standing> npu_worker;
  Mutex rng_mutex;
  Rng rng = Rng::from_system();
  std::string new_id() {
    const std::lock_guard lock(rng_mutex);
    return make_id(clock, rng);
  }
  std::atomic<bool> stopping{false};
};

Foreman::Foreman(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Foreman::~Foreman() { stop(); }

Result<std::unique_ptr<Foreman>> Foreman::start(Os& os, const Clock& clock,
                                                ForemanOptions options) {
  std::unique_ptr<Foreman> foreman(
      new Foreman(std::make_unique<Parts>(os, clock, std::move(options))));
  try {
    if (Result<void> begun = foreman->begin(); !begun) return fail(begun.error());
  } catch (const std::system_error&) {
    return fail(Code::kUnavailable, "cannot start another thread",
                "raise the limit on threads (ulimit -u)");
  }
  return foreman;
}

Result<void> Foreman::begin() {
  Parts& p = *parts_;
  ForemanOptions& options = p.options;
  p.log = options.log == nullptr ? p.silent.get() : options.log;
  p.jobs_dir = join_path(options.state_dir, "jobs");
  for (const std::string& dir : {options.state_dir, p.jobs_dir}) {
    if (Result<void> made = p.os.make_dirs(dir, 0700); !made) return made;
  }
  Result<std::unique_ptr<FileLock>> lock = lock_file(join_path(options.state_dir, "daemon.lock"));
  if (!lock) {
    if (lock.error().code != Code::kBusy) return fail(lock.error());
    return fail(Code::kBusy, "another daemon runs on " + options.state_dir,
                "use it, end it with `gantry stop`, or name another --state-dir");
  }
  p.lock = std::move(*lock);
  options.store.now = p.clock.wall();
  Result<std::unique_ptr<Store>> store =
      Store::open(join_path(options.state_dir, "gantry.db"), options.store);
  if (!store) return fail(store.error());
  p.store = std::move(*store);
  p.inputs = std::make_unique<Inputs>(p.os, *p.store, join_path(options.state_dir, "inputs"));
  p.pruner = std::make_unique<Pruner>(
      PrunerOptions{&p.os, &p.clock, p.log, p.store.get(), p.inputs.get(), p.jobs_dir,
                    options.config.keep_jobs, options.config.keep_days});
  if (Result<void> opened = p.inputs->open(); !opened) return opened;
  if (Result<void> opened = p.pruner->open(); !opened) return opened;

  use_real_parts();
  p.machine = without_reserve(options.machine, options.config);
  const Shares budgets = budgets_of(p.machine, options.config);
  const auto over_budget = [&p](Bytes sum, Bytes budget) {
    p.log->warn("over_budget", {{"sum", format_bytes(sum)}, {"budget", format_bytes(budget)}});
    if (!p.runner) return;
    p.runner->tell_all(nlohmann::json{
        {"type", "over_budget"}, {"sum_bytes", sum.n}, {"budget_bytes", budget.n}}.dump());
  };
  p.sampler = std::make_unique<Sampler>(
      p.os, p.clock, SamplerOptions{Millis(20), on_device(budgets, "cpu"), over_budget});
  join_others();
  const std::map<std::string, std::string> identities = device_identities(p.machine);
  p.scheduler = std::make_unique<Scheduler>(
      SchedulerOptions{&p.os, &p.clock, p.log, p.store.get(), p.sampler.get(), options.factory,
                       budgets, read_boot_id(p.os), p.options.live.get(),
                       [&p](const std::string& model, const Shares* rooms) {
                         return p.roster->find(model, true, rooms);
                       },
                       std::chrono::seconds(options.config.wait_s),
                       std::chrono::seconds(options.config.hung_s), p.cgroups.get(),
                       p.shared.get(), identities, ceilings(budgets, identities)});
  if (Result<void> recovered = recover(); !recovered) return recovered;
  p.roster = std::make_unique<Roster>(RosterOptions{&p.os, &options.config, &p.machine,
                                                    p.store.get(), options.cards, &p.clock,
                                                    p.engine.get()});
  p.modes = std::make_unique<Modes>(ModesOptions{&options.config, p.roster.get(),
                                                 p.scheduler.get(), p.store.get(),
                                                 options.live.get(), &p.clock, p.log});
  p.router = std::make_unique<Router>(options.config, *p.roster, *p.scheduler, *p.modes, *p.log);
  p.runner = std::make_unique<Runner>(RunnerOptions{
      &p.os, &p.clock, p.log, p.store.get(), p.inputs.get(), p.pruner.get(), &p.events, this,
      &options.executors, p.jobs_dir, options.job_threads, [&p] { return p.new_id(); }});
  p.runner->start();
  p.npu_worker = keep_npu_worker(options.config, p.clock, *p.log, [this](const http::Cancel& c) {
    return open(kNpuWorker, c, true, true);
  });
  return {};
}

// Without the folder this daemon goes on as if it were alone.
void Foreman::join_others() {
  Parts& p = *parts_;
  const std::string& dir = p.options.config.lease_dir;
  if (dir.empty() || dir == "none") return;
  Result<std::unique_ptr<LeaseFolder>> folder = open_lease_folder(
      p.os, dir, read_boot_id(p.os), sha256_hex(p.options.state_dir).substr(0, 16));
  if (folder) {
    p.shared = std::move(*folder);
  } else {
    p.log->warn("lease_folder", {{"error", folder.error().message}});
  }
}

// What is free now, and what others have taken of it under leases that will end.
Shares Foreman::ceilings(const Shares& budgets,
                         const std::map<std::string, std::string>& identities) {
  Parts& p = *parts_;
  if (!p.shared) return {};
  const std::vector<SharedLease> others = p.shared->others();
  Shares all;
  for (const Share& budget : budgets) {
    const auto device = std::ranges::find(p.machine.devices, budget.device, &Device::name);
    const bool host = budget.device == "cpu";
    if (!host && device == p.machine.devices.end()) continue;
    Bytes sum = host ? p.machine.memory.usable() : device->free;
    for (const SharedLease& lease : others) {
      if (lease.device != identities.at(budget.device)) continue;
      sum += taken_of(p.os, lease.bytes, lease.pid, budget.device,
                      host ? std::vector<Holder>{} : device->holders);
    }
    all.push_back({budget.device, std::max(sum, budget.bytes)});
  }
  return all;
}

void Foreman::use_real_parts() {
  Parts& p = *parts_;
  ForemanOptions& options = p.options;
  const WorkerContext& context = options.worker_context;
  if (!context.worker_exe.empty()) {
    p.engine = std::make_unique<EngineAnswers>(EngineAnswersOptions{
        &p.os, &p.clock,
        engine_probe(p.os, context.worker_exe, context.engine_dir, context.log_dir),
        join_path(options.state_dir, kAnswersFile),
        engine_identity(p.os, context.worker_exe, context.engine_dir) + options.machine.cpu.model,
        [&p](const std::string& model, const Error& error) {
          p.log->warn("engine_not_asked", {{"model", model}, {"why", error.message}});
        }});
  }
  if (options.worker_context.cpu == nullptr) options.worker_context.cpu = &options.machine.cpu;
  if (!options.factory) {
    p.cgroups = open_cgroups();
    options.factory = [&p](const WorkerSpec& spec) {
      return start_worker(p.os, p.options.worker_context, spec);
    };
  }
  if (!options.cards) {
    options.cards = card_probe(p.os, options.worker_context.worker_exe,
                               options.worker_context.log_dir);
  }
  if (!options.live) {
    options.live = real_live(p.os, options.machine, options.config,
                             options.worker_context.worker_exe);
  }
  if (!options.decoder) {
    options.decoder = [&p](MediaTool tool, const std::string& file, const std::string& wav,
                           const http::Cancel& cancel,
                           const std::function<Result<void>(int)>& gate) {
      return decode_audio(p.os, p.options.worker_context, tool, file, wav, cancel, gate);
    };
  }
}

// What a dead daemon left behind: its workers are ended, its running jobs go back in line.
Result<void> Foreman::recover() {
  Parts& p = *parts_;
  Result<Leftovers> left = end_leftovers(p.os, *p.store, *p.log);
  if (!left) return fail(left.error());
  for (const LeaseRow& row : left->programs) {
    Result<void> adopted = p.scheduler->adopt(row);
    if (!adopted) p.log->error("program_not_adopted", {{"program", row.model}});
  }
  for (const LeaseRow& row : left->stuck) {
    // The budget may be smaller than it was: then the orphan has all of it.
    const Bytes room = p.scheduler->budget(row.device) - p.scheduler->booked(row.device);
    Result<void> booked = p.scheduler->book_orphan(p.store->next_token(),
                                                   {{row.device, std::min(row.bytes, room)}});
    if (!booked) p.log->error("orphan_not_booked", {{"model", row.model}});
  }
  if (p.shared) p.shared->clean();
  Result<std::vector<Job>> recovered = p.store->recover(p.clock.wall());
  if (!recovered) return fail(recovered.error());
  for (const Job& job : *recovered) {
    p.log->warn("job_recovered",
                {{"job", job.id}, {"state", std::string(job_state_name(job.state))}});
  }
  return {};
}

void Foreman::stop() {
  Parts& p = *parts_;
  if (p.stopping.exchange(true)) return;
  if (p.npu_worker) p.npu_worker->stop();
  if (p.runner) p.runner->begin_stop();
  if (p.scheduler) p.scheduler->shutdown();
  if (p.runner) p.runner->finish_stop();
}

// A queue that cannot be read is not known to be empty.
bool Foreman::idle() {
  const Result<JobTally> tally = parts_->store->tally();
  const uint32_t own = parts_->npu_worker ? parts_->npu_worker->holds() : 0;
  return tally && tally->unfinished() == 0 && parts_->scheduler->in_use() <= own;
}

Result<std::unique_ptr<Session>> Foreman::open(const std::string& model,
                                               const http::Cancel& cancel, bool trusted,
                                               bool stays) {
  Parts& p = *parts_;
  if (p.stopping) return fail(stopping_error());
  const Runner::Ways ways = p.runner->ways_of(cancel);
  Result<std::unique_ptr<Session>> session =
      p.router->open({model, ways.device, ways.shortage, trusted, stays || ways.stays,
                      p.runner->priority_of(cancel), p.runner->is_job(cancel)},
                     cancel);
  if (session) p.runner->answered_by(cancel, **session);
  return session;
}

class Foreman::ProgramLease final : public DeviceLease {
 public:
  ProgramLease(Os& os, int pid, uint64_t start_ticks, Bytes bytes, std::unique_ptr<Hold> hold,
               std::vector<std::pair<std::string, std::string>> environment)
      : os_(os),
        pid_(pid),
        start_ticks_(start_ticks),
        bytes_(bytes),
        hold_(std::move(hold)),
        environment_(std::move(environment)) {}
  // Nobody is given the bytes before the process is gone, wherever the connection is.
  ~ProgramLease() override {
    const bool there = os_.start_time(pid_).value_or(0) == start_ticks_ && os_.pss(pid_);
    if (there) hold_->leave();
  }
  int64_t token() const override { return hold_->token(); }
  Bytes bytes() const override { return bytes_; }
  const std::vector<std::pair<std::string, std::string>>& environment() const override {
    return environment_;
  }

 private:
  Os& os_;
  int pid_;
  uint64_t start_ticks_;
  Bytes bytes_;
  std::unique_ptr<Hold> hold_;
  std::vector<std::pair<std::string, std::string>> environment_;
};

Result<std::unique_ptr<DeviceLease>> Foreman::lease(const LeaseWish& wish,
                                                    const http::Cancel& cancel) {
  Parts& p = *parts_;
  if (p.stopping) return fail(stopping_error());
  const auto device = std::ranges::find(p.machine.devices, wish.device, &Device::name);
  if (device == p.machine.devices.end()) {
    std::string known;
    for (const Device& each : p.machine.devices) known += (known.empty() ? "" : ", ") + each.name;
    return fail(Code::kNotFound, "there is no device " + wish.device, "there are " + known);
  }
  const Result<uint64_t> started = p.os.start_time(wish.pid);
  if (!started) return fail(Code::kUsage, "the process that wants the lease is not there");
  const Bytes budget = p.scheduler->budget(wish.device);
  const Bytes bytes = wish.whole ? budget : wish.bytes;
  if (bytes == Bytes{}) {
    return fail(Code::kUsage, "a lease of no bytes", "say how many: --need 5GiB");
  }
  if (bytes > budget) {
    return fail(Code::kDoesNotFit,
                fmt::format("{} is more than may be used of {}, {}", format_bytes(bytes),
                            wish.device, format_bytes(budget)),
                "ask for less, or raise the budget");
  }
  Result<std::unique_ptr<Hold>> hold =
      p.scheduler->hold(wish.program,
                        {{{wish.device, bytes, {}, {}, wish.whole}}, true, wish.limit}, cancel,
                        wish.priority);
  if (!hold) return fail(hold.error());
  if (Result<void> recorded = (*hold)->started(wish.pid); !recorded) return fail(recorded.error());
  return std::make_unique<ProgramLease>(p.os, wish.pid, *started, bytes, std::move(*hold),
                                        device_environment(*device));
}

// ffmpeg's bytes are asked for only when the small decoder has refused.
std::string Foreman::detector_of(const std::string& model) const {
  const Result<ModelConfig> config = parts_->roster->resolve(model, true);
  return config && config->vad == "silero" ? std::string(kSileroModel) : std::string();
}

Result<StepReport> Foreman::decode(const std::string& file, const std::string& wav,
                                   const http::Cancel& cancel) {
  Result<StepReport> report = decode_with(MediaTool::kSmall, file, wav, cancel);
  if (report || report.error().code != Code::kUnsupported) return report;
  report = decode_with(MediaTool::kFfmpeg, file, wav, cancel);
  if (!report && report.error().code == Code::kDoesNotFit) {
    report.error().remedy = "convert " + base_name(file) + " to wav, flac or mp3, or " +
                            report.error().remedy;
  }
  return report;
}

Result<StepReport> Foreman::decode_with(MediaTool tool, const std::string& file,
                                        const std::string& wav, const http::Cancel& cancel) {
  Parts& p = *parts_;
  if (p.stopping) return fail(stopping_error());
  const char* name = Roster::media_name(tool);
  Result<Placement> placement = p.roster->media(tool);
  if (!placement) return fail(placement.error());
  Shares shares;
  StepReport report;
  for (const Need& need : placement->needs) {
    shares.push_back({need.device, need.total()});
    report.predicted += need.total();
  }
  Result<std::unique_ptr<Hold>> hold =
      p.scheduler->hold(name, {std::move(shares)}, cancel, p.runner->priority_of(cancel));
  if (!hold) return fail(hold.error());
  const auto begun = p.clock.steady();
  Result<Millis> decoded = p.options.decoder(tool, file, wav, cancel,
                                             [&](int pid) { return (*hold)->started(pid); });
  if (!decoded) return fail(decoded.error());
  report.name = "decode " + base_name(file);
  report.model = name;
  report.device = "cpu";
  report.measured = (*hold)->measured();
  report.run_s =
      std::chrono::duration<double>(p.clock.steady() - begun).count();
  if (report.measured > Bytes{}) {
    LoadSeen seen;
    seen.fingerprint = seen.model = name;
    seen.at = p.clock.wall();
    seen.end = LoadEnd::kUnloaded;
    seen.sessions = 1;
    seen.bytes = {{"cpu", report.predicted, report.measured}};
    Result<int64_t> kept = p.store->add_load(seen);
    if (!kept) p.log->warn("measurement_lost", {{"error", kept.error().message}});
  }
  return report;
}

// A device that is here, and words that the planner knows.
Result<void> Foreman::check_wishes(const JobSpec& spec) const {
  const Shares devices = budgets_of(parts_->machine, parts_->options.config);
  std::string known;
  for (const Share& device : devices) known += (known.empty() ? "" : ", ") + device.device;
  const bool there = std::ranges::find(devices, spec.device, &Share::device) != devices.end();
  if (!spec.device.empty() && !there) {
    return fail(Code::kUsage, "there is no device " + spec.device, "there are " + known);
  }
  for (size_t i = 0; i < spec.shortage.size(); ++i) {
    const std::string& word = spec.shortage[i];
    if (Result<Shortage> parsed = parse_shortage(word); !parsed) return fail(parsed.error());
    if (word == "cloud" && !cloud_is_last(spec.shortage)) {
      return fail(Code::kUsage, "cloud is the last way out", "name it last, or before refuse");
    }
    if (word == "cloud" && spec.stays) {
      return fail(Code::kUsage, "a private job does not go to the cloud", "one of the two");
    }
    if (word == "cloud" && std::ranges::none_of(parts_->options.config.models, is_relay)) {
      return fail(Code::kUsage, "this daemon sends nothing away",
                  "wait, shrink, cpu or refuse; or a relay in the configuration (docs/cli.md)");
    }
    const auto first = std::ranges::find(spec.shortage, word);
    if (static_cast<size_t>(first - spec.shortage.begin()) != i) {
      return fail(Code::kUsage, "\"" + word + "\" is there twice");
    }
  }
  return {};
}

Result<void> Foreman::check(const JobSpec& spec) const {
  const auto& executors = parts_->options.executors;
  const auto executor = executors.find(spec.kind);
  if (executor == executors.end()) {
    std::string kinds;
    for (const auto& [kind, unused] : executors) kinds += (kinds.empty() ? "" : ", ") + kind;
    return fail(Code::kUsage, "there are no jobs of kind " + spec.kind, "use one of " + kinds);
  }
  if (spec.files.size() > kJobFilesMax) {
    return fail(Code::kTooLarge, fmt::format("{} files in one job; the limit is {}",
                                             spec.files.size(), kJobFilesMax),
                "submit several jobs");
  }
  Bytes size{spec.params.size()};
  for (const std::string& file : spec.files) size += Bytes{file.size()};
  if (size > kJobSpecMax) {
    return fail(Code::kTooLarge, fmt::format("a job of {}; the limit is {}", format_bytes(size),
                                             format_bytes(kJobSpecMax)),
                "put what is large into a file");
  }
  for (const std::string& name : spec.names) {
    if (base_name(name) != name || name.empty() || name == "." || name == "..") {
      return fail(Code::kUsage, fmt::format("\"{}\" is not the name of a file", name));
    }
  }
  if (spec.depends_on.size() > kJobDependsMax) {
    return fail(Code::kTooLarge, fmt::format("a job that depends on {} others; the limit is {}",
                                             spec.depends_on.size(), kJobDependsMax));
  }
  if (spec.deadline != WallTime{} && spec.deadline <= spec.not_before) {
    return fail(Code::kUsage, "the job's deadline is before its time to begin");
  }
  if (spec.idempotency_key.size() > kIdempotencyKeyMax) {
    return fail(Code::kTooLarge, fmt::format("an idempotency key of {} characters; the limit is {}",
                                             spec.idempotency_key.size(), kIdempotencyKeyMax));
  }
  if (!nlohmann::json::parse(spec.params, nullptr, false).is_object()) {
    return fail(Code::kUsage, "the parameters of the job are not a JSON object");
  }
  if (Result<void> sound = check_wishes(spec); !sound) return sound;
  return executor->second->check(spec);
}

Result<std::vector<FileIdentity>> Foreman::take_files(const JobSpec& spec,
                                                      std::vector<Inputs::Pin>* pins) {
  std::vector<FileIdentity> files;
  for (size_t i = 0; i < spec.files.size(); ++i) {
    Result<FileIdentity> file = check_input(parts_->os, spec.files[i]);
    if (!file) return fail(file.error());
    if (spec.keep) {
      Result<Inputs::Pin> pin = parts_->inputs->keep(spec.files[i], &*file);
      if (!pin) return fail(pin.error());
      pins->push_back(std::move(*pin));
      if (i < spec.names.size()) file->path = spec.names[i];
    }
    files.push_back(std::move(*file));
  }
  return files;
}

Result<std::string> Foreman::submit(const JobSpec& given) {
  Parts& p = *parts_;
  if (p.stopping) return fail(stopping_error());
  JobSpec spec = given;
  if (spec.params.empty()) spec.params = "{}";
  if (Result<void> sound = check(spec); !sound) return fail(sound.error());
  std::vector<Inputs::Pin> pins;
  Result<std::vector<FileIdentity>> files = take_files(spec, &pins);
  if (!files) return fail(files.error());
  const std::string id = p.new_id();
  Result<std::string> stored = p.store->add(id, spec, *files, p.clock.wall());
  if (stored && *stored == id) p.runner->wake();
  return stored;
}

void Foreman::complete(Job* job) const {
  if (!job->result_file.empty()) {
    job->result_file = join_path(join_path(parts_->jobs_dir, job->id), job->result_file);
  }
  parts_->runner->fill_in(job);
}

Result<Job> Foreman::job(const std::string& id) {
  Result<Job> found = parts_->store->job(id);
  if (found) complete(&*found);
  return found;
}

Result<std::vector<Job>> Foreman::jobs(const JobQuery& query) {
  Result<std::vector<Job>> found = parts_->store->jobs(query);
  if (!found) return found;
  for (Job& job : *found) complete(&job);
  return found;
}

Result<JobTally> Foreman::tally() { return parts_->store->tally(); }

Result<void> Foreman::cancel(const std::string& id) {
  Result<Job> cancelled = parts_->store->cancel(id, parts_->clock.wall());
  if (cancelled) {
    parts_->log->info("job_cancelled", {{"job", id}});
    parts_->runner->cancelled(*cancelled);
    return {};
  }
  if (cancelled.error().code == Code::kConflict) {
    Result<Job> now = parts_->store->job(id);
    if (now && now->state == JobState::kCancelled) return {};
    if (now) {
      return fail(Code::kConflict, fmt::format("job {} has ended already ({})", id,
                                               job_state_name(now->state)));
    }
  }
  return fail(cancelled.error());
}

Result<void> Foreman::pause(const std::string& id) {
  Result<JobState> was = parts_->store->pause(id);
  if (!was) return fail(was.error());
  parts_->log->info("job_paused", {{"job", id}});
  if (*was == JobState::kRunning) parts_->runner->paused(id);
  return {};
}

Result<void> Foreman::resume(const std::string& id) {
  Result<JobState> was = parts_->store->resume(id, parts_->clock.wall());
  if (!was) return fail(was.error());
  parts_->log->info("job_resumed", {{"job", id}});
  parts_->runner->wake();
  return {};
}

Result<void> Foreman::retry(const std::string& id) {
  Result<JobState> was = parts_->store->revive(id, parts_->clock.wall());
  if (!was) return fail(was.error());
  parts_->log->info("job_revived", {{"job", id}, {"was", std::string(job_state_name(*was))}});
  parts_->events.begin(id);
  parts_->runner->wake();
  return {};
}

Result<void> Foreman::backup(const std::string& dir) {
  if (!dir.starts_with('/')) return fail(Code::kUsage, dir + " is not an absolute path");
  const Pruner::Stay stay(*parts_->pruner);
  return write_backup(parts_->os, *parts_->store, parts_->options.state_dir, dir);
}

Result<std::vector<std::string>> Foreman::prune(const PruneWish& wish) {
  if (wish.state && (!is_final(*wish.state) || *wish.state == JobState::kQuarantined)) {
    return fail(Code::kUsage, fmt::format("{} jobs are kept", job_state_name(*wish.state)),
                "name done, failed or cancelled");
  }
  if (!wish.older && !wish.state) return parts_->pruner->by_configuration(wish.dry);
  PruneRule rule;
  rule.state = wish.state;
  if (wish.older) rule.before = parts_->clock.wall() - *wish.older;
  return parts_->pruner->prune(rule, wish.dry);
}

Result<std::string> Foreman::result(const std::string& id) {
  Result<Job> found = job(id);
  if (!found) return fail(found.error());
  if (found->state != JobState::kDone) {
    return fail(Code::kConflict,
                fmt::format("job {} has no result: it is {}", id, job_state_name(found->state)),
                is_final(found->state) ? "see `gantry show " + id + "`" : "wait for it to end");
  }
  Result<std::string> bytes = parts_->os.read_file(found->result_file, kJobResultMax);
  if (!bytes) return bytes;
  if (sha256_hex(*bytes) != found->result_sha256) {
    return fail(Code::kCorrupt, found->result_file + " is not what the job wrote",
                "submit the job again, and check the disk");
  }
  return bytes;
}

Result<void> Foreman::watch(const std::string& id, const http::Cancel& gone,
                            const std::function<bool(const std::string& json_line)>& on_event) {
  Result<Job> found = job(id);
  if (!found) return fail(found.error());
  bool told = false, wanted = true;
  const auto ended = [&] {
    Result<Job> now = parts_->store->job(id);
    return parts_->stopping || !now || is_final(now->state);
  };
  parts_->events.follow(id, gone, ended, [&](const std::string& line) {
    told = true;
    wanted = on_event(line);
    return wanted;
  });
  // It ended before this run of the daemon, or too long ago.
  if (!told && wanted && !gone) {
    Result<Job> now = parts_->store->job(id);
    if (!now) return fail(now.error());
    on_event(nlohmann::json{{"type", "state"}, {"state", job_state_name(now->state)}}.dump());
  }
  return {};
}

Result<std::string> Foreman::log(const std::string& model, Bytes max) {
  const std::string name = parts_->roster->canonical(model);
  const std::string path = worker_log_path(parts_->options.worker_context.log_dir, name);
  Result<std::string> text = parts_->os.read_file(path, kWorkerLogMax + kWorkerLogMax);
  if (!text && text.error().code == Code::kNotFound) {
    return fail(Code::kNotFound, name + " has no log", "it was never loaded; see `gantry ps`");
  }
  if (text && text->size() > max.n) text->erase(0, text->size() - max.n);
  return text;
}

std::vector<ModelStatus> Foreman::models() {
  std::vector<ModelStatus> all = parts_->roster->models();
  for (ModelStatus& used : parts_->scheduler->models()) {
    const auto known = std::ranges::find(all, used.name, &ModelStatus::name);
    if (known == all.end()) {
      all.push_back(std::move(used));
    } else if (used.state != "unloaded") {
      *known = std::move(used);
    } else {
      known->grown = used.grown;
    }
  }
  if (parts_->npu_worker) parts_->npu_worker->tell(&all);
  return all;
}

// Whoever holds memory of an accelerator and has no lease, of ours or of others. Asking takes a
// process of its own: not for every look at the ledger.
std::vector<Holder> Foreman::strangers(const std::string& device,
                                       const std::vector<SharedLease>& others) {
  Parts& p = *parts_;
  const std::lock_guard lock(p.seen_mutex);
  const Millis now = p.clock.steady();
  if (!p.seen_at || now - *p.seen_at >= kStrangersKept) {
    std::vector<std::string> names;
    for (const Device& known : p.machine.devices) {
      if (known.kind != DeviceKind::kCpu) names.push_back(known.name);
    }
    p.seen = names.empty() ? std::vector<LiveDevice>{} : p.options.live->look(names);
    p.seen_at = now;
  }
  const auto found = std::ranges::find(p.seen, device, &LiveDevice::device);
  if (found == p.seen.end()) return {};
  std::vector<Holder> all = found->holders;
  std::erase_if(all, [&](const Holder& holder) {
    const std::vector<LeaseRow> rows = p.scheduler->leases();
    return std::ranges::find(rows, holder.pid, &LeaseRow::pid) != rows.end() ||
           std::ranges::find(others, holder.pid, &SharedLease::pid) != others.end();
  });
  return all;
}

std::vector<LedgerStatus> Foreman::ledger() {
  std::vector<LedgerStatus> all;
  const std::vector<SharedLease> others = parts_->scheduler->elsewhere();
  for (const Share& budget : budgets_of(parts_->machine, parts_->options.config)) {
    const bool host = budget.device == "cpu";
    all.push_back({budget.device, budget.bytes, parts_->scheduler->booked(budget.device),
                   host ? parts_->sampler->total_peak() : Bytes{}});
    for (const SharedLease& lease : others) {
      if (lease.device == budget.device) all.back().elsewhere += lease.bytes;
    }
    if (!host) all.back().strangers = strangers(budget.device, others);
  }
  return all;
}

// Moments since the machine's start, as times of the clock as it is set now.
std::vector<LeaseStatus> Foreman::leases() {
  Parts& p = *parts_;
  const WallTime started = p.clock.wall() - p.clock.boot();
  std::vector<LeaseStatus> all;
  for (const LeaseRow& row : p.scheduler->leases()) {
    LeaseStatus status{row.token, row.model, row.program, row.pid, row.device, row.bytes,
                       row.whole, started + row.granted, started + row.heartbeat};
    if (row.deadline) status.deadline = started + *row.deadline;
    all.push_back(std::move(status));
  }
  for (const SharedLease& lease : p.scheduler->elsewhere()) {
    LeaseStatus status{lease.token, lease.program, lease.daemon.empty(), lease.pid, lease.device,
                       lease.bytes, lease.whole, p.clock.wall(), p.clock.wall()};
    status.uid = lease.uid;
    all.push_back(std::move(status));
  }
  return all;
}

Result<std::vector<LoadSeen>> Foreman::history(const std::string& model, uint32_t limit) {
  if (model.empty()) return parts_->store->loads(Store::LoadsOf::kAll, "", limit);
  return parts_->store->loads(Store::LoadsOf::kModel, parts_->roster->canonical(model), limit);
}

std::vector<LoadSeen> Foreman::last_loads() {
  return parts_->store->loads(Store::LoadsOf::kLastOfEach, "", kModelsMax)
      .value_or(std::vector<LoadSeen>{});
}

std::vector<ModeStatus> Foreman::modes() { return parts_->modes->status(); }

Result<ModeStatus> Foreman::set_mode(const std::string& model, std::optional<Mode> mode) {
  return parts_->modes->set(model, mode);
}

Result<void> Foreman::load(const std::string& model, bool trusted) {
  const http::Cancel never{false};
  Result<std::unique_ptr<Session>> session = open(model, never, trusted);
  if (!session) return fail(session.error());
  if ((*session)->why().empty() || (*session)->device() != kCloudDevice) return {};
  return fail(Code::kDoesNotFit, (*session)->why(), (*session)->model() + " answers for it");
}

Result<void> Foreman::unload(const std::string& model) {
  const std::string name = parts_->roster->canonical(model);
  const Result<ModelConfig> known_as = parts_->roster->resolve(name, true);
  for (const std::string& member : known_as ? known_as->one_of : std::vector<std::string>{}) {
    (void)parts_->scheduler->unload(parts_->roster->canonical(member));  // where it is there
  }
  if (parts_->npu_worker && name == kNpuWorker) {
    return fail(Code::kConflict, "npu-worker runs as long as the daemon does",
                "remove npu_worker from the configuration, and start the daemon again");
  }
  Result<void> gone = parts_->scheduler->unload(name);
  if (gone || gone.error().code != Code::kNotFound) return gone;
  const std::vector<ModelStatus> known = parts_->roster->models();
  if (std::ranges::find(known, name, &ModelStatus::name) != known.end()) return {};
  return fail(Code::kNotFound, "there is no model " + model, "see `gantry ps`");
}

}  // namespace gantry
