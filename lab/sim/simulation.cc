// Lives of daemons and what users do in them.
#include "lab/sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "foreman/job_state.h"
#include "foreman/roster.h"
#include "foreman/sha256.h"
#include "lab/sim/vfs.h"

namespace gantry::sim {

namespace {

constexpr Millis kOverWithin{600'000};   // all jobs, once nothing goes wrong any more
constexpr Millis kLeaveWithin{10'000};
constexpr Millis kNoticedWithin{1'000};  // a death
constexpr Millis kServedWithin{60'000};  // a session in a crowd whose sessions take a second

FiberOptions schedule_of(uint64_t seed) {
  std::map<int64_t, Entry> unused;
  return make_scenario(seed, &unused).fibers;
}

}  // namespace

Simulation::Simulation(uint64_t seed, std::string state_dir, bool loud)
    : fibers_(seed, schedule_of(seed)),
      world_(fibers_, seed ^ 0x5DEECE66DULL),
      history_(fibers_, world_),
      scenario_(make_scenario(seed, &history_.entries())),
      os_(fibers_, world_),
      clock_(fibers_, world_),
      log_(fibers_, world_),
      rng_(seed + 77),
      state_dir_(std::move(state_dir)) {
  use_disk(fibers_, world_);
  log_.loud = loud;
  os_.on_written = [this](const std::string& path) { history_.file_written(path); };
  clock_.on_wall = [this](WallTime now) { history_.told_time(now); };
  for (const auto& [file, card] : scenario_.cards) {
    File& made = world_.files[file];
    made.now = made.synced = file;
    made.inode = world_.next_inode();
  }
  world_.growth_allowed = scenario_.growth;
  for (const Device& device : scenario_.machine.devices) {
    world_.capacity[device.name] = device.total;
  }
  for (const Share& share : budgets_of(scenario_.machine, scenario_.config)) {
    world_.budgets[share.device] = share.bytes;
  }
}

Outcome Simulation::run() {
  Outcome outcome;
  outcome.ok = true;
  for (size_t i = 0; i < scenario_.lives.size() && outcome.ok; ++i) {
    outcome.ok = run_life(scenario_.lives[i], i);
    ++outcome.lives;
  }
  outcome.why = fibers_.why();
  outcome.digest = fibers_.digest();
  outcome.points = fibers_.points();
  outcome.switches = fibers_.switches();
  outcome.simulated = fibers_.now();
  outcome.handovers = world_.handovers;
  outcome.late_handovers = world_.late_handovers;
  outcome.workers = world_.spawns;
  outcome.written = world_.written;
  for (const auto& [n, entry] : history_.entries()) outcome.jobs += entry.ended.empty() ? 0 : 1;
  return outcome;
}

bool Simulation::run_life(const Life& life, size_t nth) {
  history_.life_begins();
  world_.stopping = false;
  const bool dies = life.fate == Fate::kKill || life.fate == Fate::kPower;
  if (dies && life.steps == 0) fibers_.crash_after(life.points);
  uint64_t steps = 0;
  history_.on_step = [&] {
    if (dies && ++steps == life.steps) fibers_.crash_after(life.points);
  };
  Ending ending = fibers_.run(fmt::format("daemon {}", nth), [this, &life] { live(life); });
  foreman_ = nullptr;
  if (ending != Ending::kDone && ending != Ending::kCrashed) return false;
  if (life.fate == Fate::kLast) return true;
  after(life);
  if (!life.stale) return true;
  history_.life_begins();
  ending = fibers_.run("stale holders", [this] { stale_holders(); });
  world_.locked.clear();
  return ending == Ending::kDone;
}

// What of the machine the daemon's end takes along.
void Simulation::after(const Life& life) {
  for (Client& client : scenario_.clients) {
    if (!client.begun) continue;
    Entry& entry = history_.entry(client.ops[client.next].n);
    if (client.ops[client.next].what == Op::What::kSubmit && entry.key.empty()) {
      entry.unsure = true;
      ++client.next;
    }
    client.begun = false;
  }
  if (life.fate == Fate::kStop) return;
  if (life.fate == Fate::kPower) world_.lose_power(life.loss);
  world_.orphan_or_end(life.orphan_odds);
  fibers_.pass(Millis(static_cast<int64_t>(rng_.below(3'000))));
  if (life.fate == Fate::kPower || life.reboot) {
    world_.reboot();
  } else {
    world_.reuse_pids();
  }
}

ForemanOptions Simulation::options() {
  ForemanOptions options;
  options.state_dir = state_dir_;
  options.config = scenario_.config;
  options.machine = scenario_.machine;
  options.worker_context.log_dir = state_dir_;
  options.executors["steps"] = std::make_unique<SimExecutor>(fibers_, world_, history_);
  options.job_threads = scenario_.job_threads;
  options.log = &log_;
  options.factory = sim_factory(fibers_, world_, scenario_.habits);
  options.cards = [this](const std::string& file, const std::string&) -> Result<Cards> {
    fibers_.point("card");
    return Cards{scenario_.cards.at(file), std::nullopt};
  };
  options.live = std::make_unique<SimLive>(fibers_, world_);
  options.store.on_step = [this](std::string_view step) { history_.store_step(step); };
  return options;
}

void Simulation::second_daemon() {
  Result<std::unique_ptr<Foreman>> second = Foreman::start(os_, clock_, options());
  if (second) return world_.violated("two daemons have the same state directory");
  if (second.error().code != Code::kBusy) world_.violated(second.error().message);
}

void Simulation::live(const Life& life) {
  Result<std::unique_ptr<Foreman>> started = Foreman::start(os_, clock_, options());
  if (!started) return world_.violated("the daemon does not start: " + started.error().message);
  foreman_ = started->get();
  if (rng_.below(8) == 0) second_daemon();
  std::vector<uint32_t> ids;
  start_users(&ids);
  if (scenario_.chaos_odds > 0) {
    calm_ = false;
    ids.push_back(fibers_.start("chaos", [this] { chaos(); }));
  }
  if (life.fate == Fate::kStop) {
    fibers_.sleep(life.stop_after);
    world_.stopping = true;
    foreman_->stop();
  }
  const bool chaotic = scenario_.chaos_odds > 0;
  for (size_t i = 0; i + (chaotic ? 1 : 0) < ids.size(); ++i) fibers_.join(ids[i]);
  if (life.fate == Fate::kKill || life.fate == Fate::kPower) {
    fibers_.sleep(Millis(static_cast<int64_t>(rng_.below(2'000))));
    fibers_.crash();
  }
  calm_ = true;
  if (chaotic) fibers_.join(ids.back());
  if (life.fate == Fate::kLast) {
    calm_down();
    all_over();
    last_checks();
    world_.stopping = true;
    foreman_->stop();
  }
  started->reset();
  if (world_.ours_alive() > 0) world_.violated("a worker outlives the daemon's orderly end");
  if (life.fate == Fate::kLast) stale_holders();
}

void Simulation::start_users(std::vector<uint32_t>* ids) {
  for (Client& client : scenario_.clients) {
    ids->push_back(fibers_.start(client.name, [this, &client] { use(client); }));
  }
}

void Simulation::use(Client& client) {
  while (client.next < client.ops.size() && !world_.stopping) {
    client.begun = true;
    if (!take(client, client.ops[client.next])) return;
    client.begun = false;
    ++client.next;
  }
}

bool Simulation::take(Client& client, const Op& op) {
  switch (op.what) {
    case Op::What::kSubmit: return submit(client, op);
    case Op::What::kAgain: return submit(client, op);
    case Op::What::kCancel: cancel(op); break;
    case Op::What::kSession: session(op); break;
    case Op::What::kUnload: (void)foreman_->unload(op.model); break;
    case Op::What::kLook: look(op.n); break;
    case Op::What::kList: list(); break;
    case Op::What::kPause: fibers_.sleep(op.time); break;
    case Op::What::kHold: hold(op); break;
    case Op::What::kRetry: retry(op); break;
    case Op::What::kPrune: prune(op); break;
    case Op::What::kWatch: {
      const Entry& entry = history_.entry(op.n);
      if (entry.id.empty()) break;
      (void)foreman_->watch(entry.id, later(op.time), [](const std::string&) { return true; });
      break;
    }
  }
  return true;
}

// The same however often it is asked for.
JobSpec Simulation::spec_of(Entry& entry, const JobPlan& plan) {
  if (entry.asked == 0) {
    const WallTime now = clock_.wall();
    if (plan.delay > Millis{0}) entry.not_before = now + plan.delay;
    if (plan.deadline > Millis{0}) entry.deadline = now + plan.delay + plan.deadline;
    for (const int64_t n : plan.needs) {
      if (!history_.entry(n).id.empty()) entry.needs.push_back(n);
    }
    entry.input = plan.input;
  }
  JobSpec spec;
  spec.kind = "steps";
  spec.params = params_of(entry, plan);
  spec.priority = entry.priority;
  spec.idempotency_key = entry.key;
  spec.not_before = entry.not_before;
  spec.deadline = entry.deadline;
  for (const int64_t n : entry.needs) spec.depends_on.push_back(history_.entry(n).id);
  if (!entry.input.empty()) {
    spec.keep = true;
    spec.files = {fmt::format("/stick/{}", entry.n)};
    File& file = world_.files[spec.files.front()];
    file.now = file.synced = entry.input;
    file.inode = world_.next_inode();
  }
  return spec;
}

// It depends on one that has ended otherwise, or is gone.
bool Simulation::refused_rightly(const Entry& entry, const Error& error) {
  return std::ranges::any_of(entry.needs, [&](int64_t n) {
    const Entry& other = history_.entry(n);
    if (error.code == Code::kNotFound) return history_.may_be_gone(other);
    return error.code == Code::kConflict && other.ended != "done";
  });
}

bool Simulation::submit(Client& client, const Op& op) {
  Entry& entry = history_.entry(op.n);
  if (op.what == Op::What::kAgain && entry.id.empty()) return true;
  JobSpec spec = spec_of(entry, scenario_.jobs.at(op.n));
  history_.asked(entry);
  Result<std::string> id = foreman_->submit(spec);
  if (id) {
    history_.acked(entry, *id);
    for (const std::string& file : spec.files) world_.files.erase(file);  // the stick is pulled
    return true;
  }
  if (refused_rightly(entry, id.error())) return true;
  if (!world_.stopping) {
    world_.violated(fmt::format("{}: job {} is refused: {}", client.name, op.n,
                                id.error().message));
  }
  client.begun = false;  // refused for certain
  return false;
}

void Simulation::cancel(const Op& op) {
  Entry& entry = history_.entry(op.n);
  if (entry.id.empty()) return;
  entry.cancel_asked = true;
  Result<void> done = foreman_->cancel(entry.id);
  if (done) return history_.cancel_acked(entry);
  if (done.error().code == Code::kNotFound && history_.may_be_gone(entry)) return;
  if (done.error().code != Code::kConflict) {
    world_.violated(fmt::format("job {} cannot be cancelled: {}", op.n, done.error().message));
  }
  Result<Job> job = foreman_->job(entry.id);
  if (job && !is_final(job->state)) world_.violated("a job has not ended, and no cancel is taken");
  look(op.n);
}

// Paused for a while, then in line again; it must not run meanwhile.
void Simulation::hold(const Op& op) {
  Entry& entry = history_.entry(op.n);
  if (entry.id.empty()) return;
  entry.pause_asked = true;
  if (Result<void> paused = foreman_->pause(entry.id); paused) {
    history_.paused(entry, true);
    fibers_.sleep(op.time);
  } else if (paused.error().code == Code::kNotFound && history_.may_be_gone(entry)) {
    return;
  } else if (paused.error().code != Code::kConflict) {
    world_.violated(fmt::format("job {} cannot be paused: {}", op.n, paused.error().message));
  }
  history_.paused(entry, false);
  Result<void> resumed = foreman_->resume(entry.id);
  if (!resumed && resumed.error().code == Code::kNotFound && history_.may_be_gone(entry)) return;
  if (!resumed && resumed.error().code != Code::kConflict) {
    world_.violated(fmt::format("job {} cannot be resumed: {}", op.n, resumed.error().message));
  }
}

void Simulation::retry(const Op& op) {
  Entry& entry = history_.entry(op.n);
  if (entry.id.empty()) return;
  const bool was_done = entry.ended == "done";
  entry.revive_asked = true;
  const Result<void> done = foreman_->retry(entry.id);
  if (done) return history_.revived(entry, was_done);
  if (done.error().code == Code::kNotFound && history_.may_be_gone(entry)) return;
  if (done.error().code == Code::kConflict) return;
  world_.violated(fmt::format("job {} cannot be tried again: {}", op.n, done.error().message));
}

void Simulation::prune(const Op& op) {
  history_.prune_begins();
  const Result<std::vector<std::string>> gone =
      foreman_->prune({.older = op.time, .state = {}, .dry = false});
  if (!gone) return world_.violated("jobs cannot be pruned: " + gone.error().message);
  history_.pruned(*gone);
  for (const std::string& id : *gone) {
    const std::string folder = state_dir_ + "/jobs/" + id;
    const auto left = world_.files.lower_bound(folder);
    if (left == world_.files.end() || !left->first.starts_with(folder)) continue;
    world_.violated("job " + id + " was pruned and " + left->first + " is left");
  }
}

http::Cancel& Simulation::later(Millis time) {
  flags_.emplace_back(false);
  http::Cancel& flag = flags_.back();
  if (time > Millis{0}) {
    fibers_.start("patience", [this, time, &flag] {
      fibers_.sleep(time);
      flag = true;
    });
  }
  return flag;
}

void Simulation::session(const Op& op) {
  const http::Cancel& cancel = later(op.patience);
  const Millis asked = fibers_.now();
  Result<std::unique_ptr<Session>> opened = foreman_->open(op.model, cancel, true);
  const Millis waited = fibers_.now() - asked;
  if (scenario_.flavour != Flavour::kMixed && waited > kServedWithin) {
    world_.violated(fmt::format("a session of {} was waited for during {} ms", op.model,
                                waited.count()));
  }
  const bool trouble = scenario_.faulty || scenario_.chaos_odds > 0;
  if (opened) {
    const Result<void> used = use_session(world_, **opened, op.time, cancel, [] {});
    if (!used && !trouble && !cancel && !world_.stopping) {
      world_.violated("a session of " + op.model + " ended: " + used.error().message);
    }
  } else if (!trouble && !cancel && !world_.stopping) {
    world_.violated("a session of " + op.model + " is refused: " + opened.error().message);
  }
}

void Simulation::look(int64_t n) {
  Entry& entry = history_.entry(n);
  if (entry.id.empty()) return;
  const bool was_over = History::over(entry), was_pruned = entry.pruned;
  Result<Job> job = foreman_->job(entry.id);
  if (!job && job.error().code == Code::kNotFound && history_.may_be_gone(entry)) {
    entry.pruned = true;
    return;
  }
  if (job && was_pruned) world_.violated(fmt::format("job {} was pruned and is there", n));
  if (!job) {
    return world_.violated(fmt::format("job {} was acknowledged and is lost: {}", n,
                                       job.error().message));
  }
  history_.saw(*job, was_over);
  if (job->state != JobState::kDone) return;
  const Result<std::string> bytes = foreman_->result(job->id);
  if (bytes || !history_.may_be_gone(entry)) history_.saw_result(*job, bytes);
}

void Simulation::list() {
  std::map<int64_t, bool> over;
  for (const auto& [n, entry] : history_.entries()) over[n] = History::over(entry);
  Result<std::vector<Job>> jobs = foreman_->jobs({.limit = 1'000});
  if (!jobs) return world_.violated("the jobs cannot be listed: " + jobs.error().message);
  for (const Job& job : *jobs) history_.saw(job, over[number_of(job)]);
}

// Other programs, a clock that is set, a hand that kills.
void Simulation::chaos() {
  while (!calm_ && !world_.stopping) {
    fibers_.sleep(Millis(static_cast<int64_t>(1 + rng_.below(800))));
    const uint64_t dice = rng_.below(6);
    for (auto& [device, capacity] : world_.capacity) {
      if (dice == 0) world_.others[device] = Bytes{rng_.below(capacity.n)};
      if (dice == 1) world_.others[device] = Bytes{};
    }
    if (dice == 2) world_.wall_offset += Millis(3'600'000);
    wall_highest_ = std::max(wall_highest_, world_.wall_offset);
    if (dice == 3) world_.wall_offset -= Millis(3'600'000);
    if (dice != 4 || !scenario_.faulty) continue;
    for (auto& [pid, process] : world_.processes()) {
      if (!process.model.empty() && rng_.below(2) == 0) world_.end(process, "killed by signal 9");
    }
  }
}

// And it is as late as it ever was, so that every job's time has come.
void Simulation::calm_down() {
  world_.wall_offset = std::max(world_.wall_offset, wall_highest_);
  for (auto& [device, bytes] : world_.others) bytes = Bytes{};
  for (auto& [model, habits] : scenario_.habits) {
    habits.fail_odds = habits.crash_odds = habits.hang_odds = habits.stop_odds = 0;
    habits.grow_odds = 0;
  }
  fibers_.calm();
}

void Simulation::all_over() {
  const Millis begun = fibers_.now();
  for (auto& [n, entry] : history_.entries()) {
    // Its daemon may have ended between the two.
    if (!entry.id.empty() && entry.pause_asked) (void)foreman_->resume(entry.id);
    // It stays paused where what it depends on has ended otherwise: then it is given up.
    const bool lost = !entry.needs.empty() && entry.pause_asked;
    const Result<Job> stands = lost ? foreman_->job(entry.id) : Result<Job>{};
    if (lost && stands && stands->state == JobState::kPaused) {
      cancel({Op::What::kCancel, n, "", Millis{0}, Millis{0}});
    }
    while (!entry.id.empty()) {
      look(n);
      if (History::over(entry)) break;
      if (fibers_.now() - begun > kOverWithin) {
        const Result<Job> job = foreman_->job(entry.id);
        return world_.violated(fmt::format(
            "job {} has not ended within {} s: it is {}, waits for {}:\n{}", n,
            kOverWithin.count() / 1000, job ? job_state_name(job->state) : "gone",
            job ? job->waits_for : "", fibers_.standing()));
      }
      fibers_.sleep(Millis(200));
    }
  }
  // Executors of cancelled jobs have been told and leave; those of jobs whose user never heard of
  // their number end when they end.
  const auto busy = [](const auto& e) { return e.second.running > 0; };
  const auto late = [](const auto& e) { return e.second.running > 0 && History::over(e.second); };
  for (const Millis ended = fibers_.now(); std::ranges::any_of(history_.entries(), busy);) {
    const Millis waited = fibers_.now() - ended;
    const bool lingers = waited > kLeaveWithin && std::ranges::any_of(history_.entries(), late);
    if (lingers || waited > kOverWithin) {
      return world_.violated("an executor of a job that has ended still runs:\n" +
                             fibers_.standing());
    }
    fibers_.sleep(Millis(20));
  }
}

void Simulation::check_disk() {
  const std::string jobs = state_dir_ + "/jobs/", inputs = state_dir_ + "/inputs/";
  const std::set<std::string> dirs = world_.dirs;
  for (const std::string& dir : dirs) {
    if (!dir.starts_with(jobs) || dir.find('/', jobs.size()) != std::string::npos) continue;
    if (foreman_->job(dir.substr(jobs.size()))) continue;
    return world_.violated(dir + " is left of a job that is gone");
  }
  for (const auto& [path, file] : world_.files) {
    if (!path.starts_with(inputs)) continue;
    const bool needed = std::ranges::any_of(history_.entries(), [&](const auto& each) {
      const Entry& entry = each.second;
      return !entry.input.empty() && entry.ended != "done" && !entry.pruned &&
             path == inputs + sha256_hex(entry.input);
    });
    if (!needed) return world_.violated(path + " is kept, and no job needs it");
  }
}

void Simulation::last_checks() {
  list();
  const bool trouble = scenario_.faulty || scenario_.chaos_odds > 0;
  for (const auto& [n, entry] : history_.entries()) {
    if (entry.id.empty() || entry.pruned) continue;
    const auto parts = foreman_->jobs({.limit = 1'000, .part_of = entry.id});
    const auto ended = [](const Job& part) { return is_final(part.state); };
    if (parts && !std::ranges::all_of(*parts, ended)) {
      return world_.violated(fmt::format("a part has not ended with job {}", n));
    }
    const bool conditional = entry.deadline != WallTime{} || !entry.needs.empty();
    if (conditional && entry.ended == "failed") continue;
    const bool refused = entry.sort == Sort::kRefused || entry.sort == Sort::kPoison;
    const bool as_wanted = entry.ended == "cancelled" || (entry.ended == "done") != refused;
    if (!as_wanted && (refused || !trouble)) {
      return world_.violated(fmt::format("job {} is {}, it should be {}", n, entry.ended,
                                         refused ? "failed" : "done"));
    }
  }
  // Jobs that were accepted, but never acknowledged, may still run.
  for (Millis waited{0}; waited < kOverWithin; waited += kNoticedWithin) {
    const Result<JobTally> tally = foreman_->tally();
    if (!tally || tally->unfinished() == 0) break;
    fibers_.sleep(kNoticedWithin);
  }
  fibers_.sleep(2 * kNoticedWithin);
  check_disk();
  for (const ModelStatus& model : foreman_->models()) {
    SimProcess* process = world_.find(model.pid);
    const bool dead = process == nullptr || (!world_.alive(*process) &&
                                             fibers_.now() - *process->ended > kNoticedWithin);
    if (model.state == "ready" && dead) {
      world_.violated(model.name + " is said to be ready, its worker is dead");
    }
  }
  for (const auto& [name, habits] : scenario_.habits) (void)foreman_->unload(name);
  if (world_.ours_alive() > 0) world_.violated("a worker is left that no model has");
  for (const LedgerStatus& device : foreman_->ledger()) {
    if (device.booked == Bytes{}) continue;
    world_.violated(fmt::format("{} are booked on {}, and nothing is loaded",
                                format_bytes(device.booked), device.device));
  }
}

}  // namespace gantry::sim
