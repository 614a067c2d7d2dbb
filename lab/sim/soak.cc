// The long life: jobs in waves, hours of rest between them, and what is measured at each tenth.
#include "lab/sim/soak.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>

#include "foreman/foreman.h"
#include "foreman/job_state.h"
#include "lab/sim/executor.h"
#include "lab/sim/scenario.h"
#include "lab/sim/seams.h"
#include "lab/sim/vfs.h"

namespace gantry::sim {

namespace {

constexpr uint64_t kWave = 25;             // jobs at once
constexpr uint64_t kGrowthMax = 512 << 10;  // of the heap, from the second tenth to the last
constexpr uint64_t kPagesMax = 2'000 << 10;  // and what the database may yet keep in memory
constexpr uint64_t kJournalMax = 8 << 20;  // twice what the database is told to keep
constexpr uint64_t kKept = 500;              // ended jobs, by the configuration
// The database from the second tenth to the last: a job more or less of those kept.
constexpr uint64_t kDatabaseGrowthMax = 64 << 10;

struct Measured {
  uint64_t jobs = 0, heap = 0, journal = 0, database = 0;
  int handles = 0;
  size_t workers = 0, threads = 0, files = 0;
};

class Soak {
 public:
  Soak(uint64_t jobs, uint64_t days, std::string dir)
      : jobs_(jobs), days_(days), dir_(std::move(dir)) {
    use_disk(fibers_, world_);
    for (const auto& [name, memory] : {std::pair("a", 200), std::pair("b", 250),
                                       std::pair("c", 400)}) {
      ModelConfig model;
      model.name = name;
      model.cmd = "serve ${PORT}";
      model.memory = MiB(static_cast<uint64_t>(memory));
      config_.models.push_back(model);
      habits_[name] = {.load = Millis(100), .release_max = Millis(300), .crash_odds = 20};
    }
    config_.ram_budget = Budget{MiB(600), std::nullopt};
    config_.idle_unload_s = 2;
    config_.keep_jobs = kKept;
    machine_.memory.total = machine_.memory.available = GiB(4);
    Device cpu;
    cpu.name = cpu.backend = "cpu";
    cpu.total = cpu.free = GiB(4);
    machine_.devices = {cpu};
    world_.capacity["cpu"] = GiB(4);
    world_.budgets["cpu"] = MiB(600);
    log_.loud = std::getenv("GANTRY_SIM_LOUD") != nullptr;
  }

  int run() {
    const Ending ending = fibers_.run("daemon", [this] { live(); });
    if (ending != Ending::kDone) {
      fmt::print("FAILED: {}\n", fibers_.why());
      return 1;
    }
    return judge();
  }

 private:
  ForemanOptions options() {
    ForemanOptions options;
    options.state_dir = dir_;
    options.config = config_;
    options.machine = machine_;
    options.worker_context.log_dir = dir_;
    options.executors["steps"] = std::make_unique<SimExecutor>(fibers_, world_, history_);
    options.log = &log_;
    options.factory = sim_factory(fibers_, world_, habits_);
    options.live = std::make_unique<SimLive>(fibers_, world_);
    return options;
  }

  void live() {
    Result<std::unique_ptr<Foreman>> foreman = Foreman::start(os_, clock_, options());
    if (!foreman) return world_.violated(foreman.error().message);
    const Millis begun = fibers_.now();
    const uint64_t waves = jobs_ / kWave;
    for (uint64_t i = 0; i < waves; ++i) {
      wave(**foreman, i);
      const Millis due = begun + Millis(static_cast<int64_t>(
                                     days_ * 86'400'000 * (i + 1) / waves));
      if (fibers_.now() < due) fibers_.sleep(due - fibers_.now());
      if ((i + 1) % std::max<uint64_t>(waves / 10, 1) == 0) measure((i + 1) * kWave);
    }
    world_.stopping = true;
    foreman->reset();
    if (world_.ours_alive() > 0) world_.violated("a worker outlives the daemon");
  }

  void wave(Foreman& foreman, uint64_t nth) {
    std::vector<int64_t> mine;
    for (uint64_t k = 0; k < kWave; ++k) {
      Entry& entry = history_.entry(static_cast<int64_t>(nth * kWave + k + 1));
      entry.n = static_cast<int64_t>(nth * kWave + k + 1);
      entry.sort = k == 7 ? Sort::kPoison : k == 8 ? Sort::kFlaky : Sort::kPlain;
      JobSpec spec;
      spec.kind = "steps";
      spec.params = params_of(entry, {2, k % 3 == 0 ? "" : std::string(1, "abc"[nth % 3]),
                                      Millis(5)});
      if (k % 5 == 0) keep_input(entry, &spec);
      history_.asked(entry);
      Result<std::string> id = foreman.submit(spec);
      if (!id) return world_.violated(id.error().message);
      history_.acked(entry, *id);
      mine.push_back(entry.n);
    }
    const Millis begun = fibers_.now();
    for (const int64_t n : mine) {
      Entry& entry = history_.entry(n);
      while (entry.ended.empty() || entry.running > 0) {
        Result<Job> job = foreman.job(entry.id);
        if (!job) return world_.violated(job.error().message);
        history_.saw(*job, false);
        if (job->state == JobState::kDone) history_.saw_result(*job, foreman.result(job->id));
        if (fibers_.now() - begun > Millis(600'000)) world_.violated("a job does not end");
        fibers_.sleep(Millis(50));
      }
    }
    fibers_.sleep(Millis(5'000));
    for (const int64_t n : mine) put_away(foreman, history_.entry(n));
    if (world_.ours_alive() > 0) world_.violated("a worker stays where none is needed");
  }

  void keep_input(Entry& entry, JobSpec* spec) {
    entry.input = fmt::format("recording {}", entry.n % 3);
    spec->keep = true;
    spec->files = {"/stick/talk.wav"};
    File& file = world_.files[spec->files.front()];
    file.now = file.synced = entry.input;
  }

  // A job's user has seen how it ended; one that was put aside is given up.
  void put_away(Foreman& foreman, Entry& entry) {
    const std::string folder = dir_ + "/jobs/" + entry.id + "/";
    size_t left = 0;
    for (auto at = world_.files.lower_bound(folder);
         at != world_.files.end() && at->first.starts_with(folder); ++at) {
      ++left;
    }
    if (entry.ended == "done" && left > 1) {
      world_.violated(fmt::format("{} files are left of a job that is done", left));
    }
    if (entry.ended == "quarantined") {
      entry.revive_asked = entry.cancel_asked = true;
      Result<void> given_up = foreman.retry(entry.id);
      if (given_up) given_up = foreman.cancel(entry.id);
      // It may have failed three times more before the cancel came, and then has ended by itself.
      Result<Job> now = foreman.job(entry.id);
      const bool again = now && now->state == JobState::kQuarantined;
      if (!given_up && !(again && given_up.error().code == Code::kConflict)) {
        world_.violated("a job that was put aside cannot be given up: " +
                        describe(given_up.error()));
      }
      while (entry.running > 0) fibers_.sleep(Millis(50));
      fibers_.sleep(Millis(5'000));  // and its worker leaves
    }
    history_.entries().erase(entry.n);
  }

  void measure(uint64_t jobs) {
    Measured now;
    now.jobs = jobs;
    uint64_t disk = 0;
    for (const auto& [path, file] : world_.files) {
      disk += file.now.capacity() + file.synced.capacity();
      for (const File::Piece& one : file.unsynced) disk += sizeof one + one.bytes.capacity();
      if (path.ends_with("-wal")) now.journal = file.now.size();
      if (path.ends_with(".db")) now.database = file.now.size();
    }
    const struct mallinfo2 heap = mallinfo2();
    now.heap = heap.uordblks + heap.hblkhd - disk;
    now.handles = world_.open_files;
    now.workers = world_.workers;
    now.threads = fibers_.alive();
    now.files = world_.files.size();
    fmt::print("day {:5.1f}: {:6} jobs, heap {:6} KiB, {} files open, {} threads, {} workers,"
               " journal {} KiB, database {} KiB, {} files\n",
               static_cast<double>(fibers_.now().count()) / 86.4e6, now.jobs, now.heap >> 10,
               now.handles, now.threads, now.workers, now.journal >> 10, now.database >> 10,
               now.files);
    all_.push_back(now);
  }

  int judge() {
    if (all_.size() < 3) return 1;
    const Measured &early = all_[1], &last = all_.back();
    const auto more = [](uint64_t late, uint64_t before) {
      return (static_cast<int64_t>(late) - static_cast<int64_t>(before)) / 1024;
    };
    fmt::print("{} jobs in {} days, {} workers; since the second tenth heap {:+} KiB, database"
               " {:+} KiB\n", last.jobs, days_, world_.spawns, more(last.heap, early.heap),
               more(last.database, early.database));
    int rc = 0;
    const auto must = [&](bool holds, const char* what) {
      if (!holds) fmt::print("FAILED: {}\n", what);
      rc |= holds ? 0 : 1;
    };
    const uint64_t pages = kPagesMax - std::min(kPagesMax, early.database);
    must(last.heap < early.heap + kGrowthMax + pages, "the heap grows");
    must(last.handles == early.handles, "files stay open");
    must(last.threads == early.threads, "threads stay");
    must(last.workers <= config_.models.size(), "workers stay");
    must(last.journal <= kJournalMax, "the journal grows");
    must(last.database <= early.database + kDatabaseGrowthMax, "the database grows");
    must(last.files <= early.files + 2 * kWave, "files are left of jobs");
    return rc;
  }

  uint64_t jobs_, days_;
  std::string dir_;
  Fibers fibers_{1, {.points_max = UINT64_MAX, .switch_odds = 64}};
  World world_{fibers_, 1};
  History history_{fibers_, world_};
  SimOs os_{fibers_, world_};
  SimClock clock_{fibers_, world_};
  SimLog log_{fibers_, world_};
  Config config_;
  Machine machine_;
  std::map<std::string, Habits> habits_;
  std::vector<Measured> all_;
};

}  // namespace

int soak(uint64_t jobs, uint64_t days, const std::string& dir) {
  return std::make_unique<Soak>(jobs, days, dir)->run();
}

}  // namespace gantry::sim
