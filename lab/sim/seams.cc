// The simulated machine behind the foreman's seams.
#include "lab/sim/seams.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"

namespace gantry {

namespace {

class SimLock final : public FileLock {
 public:
  SimLock(sim::World& world, std::string path) : world_(world), path_(std::move(path)) {}
  ~SimLock() override { world_.locked.erase(path_); }

 private:
  sim::World& world_;
  std::string path_;
};

}  // namespace

Result<std::unique_ptr<FileLock>> simulated_lock(const std::string& path) {
  sim::World& world = sim::world();
  sim::fibers().point("flock");
  if (!world.locked.insert(path).second) return fail(Code::kBusy, path + " is locked");
  return std::make_unique<SimLock>(world, path);
}

// Ids of jobs, the same ones for the same seed.
Rng Rng::from_system() { return Rng(sim::fibers().rng().next()); }

}  // namespace gantry

namespace gantry::sim {

namespace {

constexpr Millis kStep{5};        // how often a worker's holder looks at it
constexpr Millis kTermMax{2'000};  // then SIGKILL

class SimMapped final : public MappedFile {
 public:
  explicit SimMapped(std::string bytes) : bytes_(std::move(bytes)) {}
  std::span<const std::byte> bytes() const override {
    return std::as_bytes(std::span(bytes_.data(), bytes_.size()));
  }

 private:
  std::string bytes_;
};

tl::unexpected<Error> missing(const std::string& path) {
  return fail(Code::kNotFound, "there is no " + path);
}

}  // namespace

Result<std::string> SimOs::read_file(const std::string& path, Bytes max) {
  fibers_.point("read");
  if (path == "/proc/sys/kernel/random/boot_id") return world_.boot_id() + "\n";
  const auto file = world_.files.find(path);
  if (file == world_.files.end()) return missing(path);
  if (file->second.now.size() > max.n) return fail(Code::kTooLarge, path);
  return file->second.now;
}

Result<std::unique_ptr<MappedFile>> SimOs::map_file(const std::string& path) {
  Result<std::string> bytes = read_file(path, GiB(1));
  if (!bytes) return gantry::fail(bytes.error());
  return std::make_unique<SimMapped>(std::move(*bytes));
}

Result<void> SimOs::read_pieces(const std::string& path,
                                const std::function<void(std::string_view)>& on_piece) {
  Result<std::string> bytes = read_file(path, GiB(1));
  if (!bytes) return gantry::fail(bytes.error());
  on_piece(*bytes);
  return {};
}

Result<FileInfo> SimOs::stat(const std::string& path) {
  fibers_.point("stat");
  FileInfo info;
  if (world_.dirs.contains(path)) {
    info.is_dir = true;
    return info;
  }
  const auto file = world_.files.find(path);
  if (file == world_.files.end()) return missing(path);
  info.size = Bytes{file->second.now.size()};
  info.mtime_ns = file->second.mtime_ns;
  info.inode = file->second.inode;
  return info;
}

Result<std::vector<std::string>> SimOs::list(const std::string& dir) {
  fibers_.point("list");
  if (!world_.dirs.contains(dir)) return missing(dir);
  std::vector<std::string> names;
  const std::string prefix = dir + "/";
  const auto add = [&](const std::string& path) {
    if (path.find('/', prefix.size()) == std::string::npos) {
      names.push_back(path.substr(prefix.size()));
    }
  };
  for (auto at = world_.files.lower_bound(prefix);
       at != world_.files.end() && at->first.starts_with(prefix); ++at) {
    add(at->first);
  }
  for (auto at = world_.dirs.lower_bound(prefix);
       at != world_.dirs.end() && at->starts_with(prefix); ++at) {
    add(*at);
  }
  return names;
}

// As the real one promises: all of it is there for good, or what was there before.
Result<void> SimOs::write_file(const std::string& path, std::string_view bytes, uint32_t) {
  fibers_.point("write");
  if (!world_.dirs.contains(dir_name(path))) return missing(dir_name(path));
  File& file = world_.files[path];
  file.now = file.synced = std::string(bytes);
  file.unsynced.clear();
  file.mtime_ns = fibers_.now().count() * 1'000'000;
  file.inode = world_.next_inode();
  world_.written += bytes.size();
  if (on_written) on_written(path);
  fibers_.point("written");
  return {};
}

Result<void> SimOs::copy_file(const std::string& from, const std::string& to) {
  Result<std::string> bytes = read_file(from, GiB(1));
  if (!bytes) return gantry::fail(bytes.error());
  return write_file(to, *bytes, 0600);
}

Result<void> SimOs::link_file(const std::string& from, const std::string& to) {
  return copy_file(from, to);
}

Result<void> SimOs::move_file(const std::string& from, const std::string& to) {
  fibers_.point("rename");
  const auto file = world_.files.find(from);
  if (file == world_.files.end()) return missing(from);
  world_.files[to] = std::move(file->second);
  world_.files.erase(from);
  fibers_.point("renamed");
  return {};
}

Result<void> SimOs::make_dirs(const std::string& path, uint32_t) {
  fibers_.point("mkdir");
  for (std::string dir = path; dir.size() > 1; dir = dir_name(dir)) world_.dirs.insert(dir);
  return {};
}

Result<void> SimOs::remove(const std::string& path) {
  fibers_.point("remove");
  world_.files.erase(path);
  world_.dirs.erase(path);
  const std::string prefix = path + "/";
  const auto below = [&](auto& all, const auto& key) {
    for (auto at = all.lower_bound(prefix); at != all.end() && key(at).starts_with(prefix);) {
      at = all.erase(at);
    }
  };
  below(world_.files, [](const auto& at) { return at->first; });
  below(world_.dirs, [](const auto& at) { return *at; });
  fibers_.point("removed");
  return {};
}

Result<Bytes> SimOs::free_space(const std::string&) { return GiB(100); }

Result<std::unique_ptr<Process>> SimOs::spawn(const ProcessSpec&) {
  return gantry::fail(Code::kUnsupported, "workers come from the factory");
}

Result<Bytes> SimOs::pss(int pid) {
  fibers_.point("pss");
  SimProcess* process = world_.find(pid);
  if (process == nullptr) return gantry::fail(Code::kNotFound, "no such process");
  if (process->model.empty()) return MiB(1);
  const bool alive = world_.alive(*process);
  const Bytes held = world_.held(*process, "cpu");
  if (!alive && held == Bytes{}) return gantry::fail(Code::kNotFound, "no such process");
  return held;
}

Result<uint64_t> SimOs::start_time(int pid) {
  fibers_.point("stat");
  SimProcess* process = world_.find(pid);
  if (process == nullptr) return gantry::fail(Code::kNotFound, "no such process");
  if (process->model.empty() || world_.alive(*process) ||
      world_.held(*process, "cpu") > Bytes{}) {
    return process->ticks;
  }
  return gantry::fail(Code::kNotFound, "no such process");
}

void SimOs::kill_group(int pid, uint64_t start_ticks, int) {
  fibers_.point("kill");
  world_.kill(pid, start_ticks);
}

// All the time since it was started but that in which it was stopped.
Result<Millis> SimOs::cpu_time(int pid) {
  fibers_.point("stat");
  SimProcess* process = world_.find(pid);
  if (process == nullptr || !world_.alive(*process)) {
    return gantry::fail(Code::kNotFound, "no such process");
  }
  Millis stopped{0};
  if (process->stopped_from && *process->stopped_from < fibers_.now()) {
    stopped = std::min(*process->stopped_to, fibers_.now()) - *process->stopped_from;
  }
  return fibers_.now() - process->born - stopped;
}

std::vector<LiveDevice> SimLive::look(const std::vector<std::string>& devices) {
  fibers_.point("live");
  std::vector<LiveDevice> found;
  for (const std::string& device : devices) {
    if (!world_.capacity.contains(device)) continue;
    LiveDevice live{device, world_.capacity[device], {}};
    live.free = live.free - world_.held(device);
    live.free = live.free - world_.others[device];
    for (const auto& [pid, process] : world_.processes()) {
      const Bytes held = world_.held(process, device);
      if (device != "cpu" && held > Bytes{}) live.holders.push_back({pid, process.model, held});
    }
    found.push_back(std::move(live));
  }
  fibers_.point("looked");
  return found;
}

std::optional<Holder> SimLive::largest_holder(const std::set<int>&) {
  if (world_.others["cpu"] == Bytes{}) return std::nullopt;
  return Holder{7, "browser", world_.others["cpu"]};
}

void SimLog::error(std::string_view event, LogFields fields) {
  keep("error", event, fields);
  if (event == "ledger") world_.violated(format_fields(event, fields));
}

void SimLog::keep(const char* level, std::string_view event, LogFields fields) {
  if (loud) {
    fmt::print(stderr, "{:>8} {} {}\n", fibers_.now().count(), level,
               format_fields(event, fields));
  }
  fibers_.point("log");
}

Result<void> SimWorker::ready(const http::Cancel& cancel) {
  const Millis given_up = fibers_.now() + kWorkerReadyMax;
  for (;;) {
    if (cancel) return gantry::fail(Code::kCancelled, "cancelled while loading");
    if (Result<void> there = alive(); !there) return there;
    const SimProcess* process = world_.find(pid_);
    const bool frozen = process->stopped_from && *process->stopped_from <= fibers_.now() &&
                        fibers_.now() < *process->stopped_to;
    if (!process->hangs && !frozen && process->ready <= fibers_.now()) return {};
    if (fibers_.now() >= given_up) return gantry::fail(Code::kTimeout, model_ + " is not ready");
    fibers_.sleep(process->hangs ? 20 * kStep : kStep);
  }
}

Result<std::vector<Segment>> SimWorker::transcribe(
    const Hearing& hearing, const http::Cancel& cancel,
    const std::function<void(const Segment&, Progress)>& on_segment) {
  for (Millis left{std::stoi(hearing.wav)}; left > Millis{0};) {
    if (cancel) return gantry::fail(Code::kCancelled, "cancelled");
    if (stopped_) return gantry::fail(Code::kWorkerFailed, model_ + " was stopped");
    if (Result<void> there = alive(); !there) return gantry::fail(there.error());
    const SimProcess* process = world_.find(pid_);
    const bool frozen = process->stopped_from && *process->stopped_from <= fibers_.now() &&
                        fibers_.now() < *process->stopped_to;
    const Millis step = std::min(left, 2 * kStep);
    fibers_.sleep(step);
    if (frozen) continue;
    left -= step;
    if (on_segment) on_segment({}, {0.5});
  }
  return std::vector<Segment>{};
}

Result<void> SimWorker::alive() {
  fibers_.point("alive");
  SimProcess* process = world_.find(pid_);
  if (process != nullptr && world_.alive(*process)) return {};
  return gantry::fail(Code::kWorkerFailed,
                      model_ + " was " + (process == nullptr ? "killed" : process->end_text));
}

void SimWorker::stop() {
  if (std::exchange(stopped_, true)) return;
  fibers_.point("stop");
  SimProcess* process = world_.find(pid_);
  if (process == nullptr || !world_.alive(*process)) return;
  if (process->users > 0 && !world_.stopping && !world_.growth_allowed) {
    world_.violated(fmt::format("{} ({}) was stopped under {} sessions", model_, pid_,
                                process->users));
  }
  const bool frozen = process->stopped_from && *process->stopped_from <= fibers_.now() &&
                      fibers_.now() < *process->stopped_to;
  if (process->ignores_term || frozen) fibers_.sleep(kTermMax);
  process = world_.find(pid_);  // others may have come and gone meanwhile
  if (process != nullptr) world_.end(*process, "killed by signal 15");
}

WorkerFactory sim_factory(Fibers& fibers, World& world,
                          const std::map<std::string, Habits>& habits) {
  return [&fibers, &world, &habits](const WorkerSpec& spec) -> Result<std::unique_ptr<Worker>> {
    fibers.point("spawn");
    std::map<std::string, Bytes> holds;
    for (const Need& need : spec.placement.needs) holds[need.device] += need.total();
    const auto known = habits.find(spec.model);
    const Habits usual = known == habits.end() ? Habits{} : known->second;
    const int pid = world.spawn(spec.model, usual, holds);
    fibers.point("forked");
    auto worker = std::make_unique<SimWorker>(fibers, world, pid, spec.model);
    if (Result<void> may = spec.gate(pid); !may) return gantry::fail(may.error());
    world.open_gate(pid);
    fibers.point("spawned");
    return worker;
  };
}

}  // namespace gantry::sim
