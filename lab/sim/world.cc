// Disk, processes and memory of the simulated machine.
#include "lab/sim/world.h"

#include <fmt/format.h>

#include <algorithm>

namespace gantry::sim {

namespace {

constexpr size_t kSector = 512;

void put(std::string* to, const File::Piece& piece) {
  if (piece.cut) {
    to->resize(piece.at);
    return;
  }
  if (to->size() < piece.at + piece.bytes.size()) to->resize(piece.at + piece.bytes.size());
  std::copy(piece.bytes.begin(), piece.bytes.end(),
            to->begin() + static_cast<std::ptrdiff_t>(piece.at));
}

World* here = nullptr;

}  // namespace

World& world() { return *here; }

World::World(Fibers& fibers, uint64_t seed) : fibers_(fibers), rng_(seed) { here = this; }

void File::write(size_t at, std::string_view bytes) {
  Piece piece{at, std::string(bytes), false};
  put(&now, piece);
  unsynced.push_back(std::move(piece));
}

void File::truncate(size_t size) {
  unsynced.push_back({size, {}, true});
  put(&now, unsynced.back());
}

void File::sync() {
  for (const Piece& piece : unsynced) put(&synced, piece);
  unsynced.clear();
}

void World::lose_power(Loss loss) {
  for (auto& [path, file] : files) {
    size_t kept = file.unsynced.size();
    if (loss == Loss::kAll) kept = 0;
    if (loss == Loss::kTail) kept = rng_.below(file.unsynced.size() + 1);
    for (size_t i = 0; i < kept; ++i) {
      File::Piece& piece = file.unsynced[i];
      if (loss == Loss::kSome && rng_.below(2) == 0) continue;
      // The last one that was under way may be torn between two sectors.
      if (loss == Loss::kTail && i + 1 == kept && piece.bytes.size() > kSector) {
        piece.bytes.resize(kSector * rng_.below(piece.bytes.size() / kSector));
        if (piece.bytes.empty()) continue;
      }
      put(&file.synced, piece);
    }
    file.unsynced.clear();
    file.now = file.synced;
  }
}

uint64_t World::disk_bytes() const {
  uint64_t sum = 0;
  for (const auto& [path, file] : files) sum += file.now.size();
  return sum;
}

void World::violated(const std::string& what) { fibers_.fail(what); }

int World::spawn(const std::string& model, const Habits& habits,
                 const std::map<std::string, Bytes>& holds) {
  forget_gone();
  const auto within = [&](Millis most) {
    return Millis(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(most.count()) + 1)));
  };
  SimProcess process;
  while (processes_.contains(next_pid_)) ++next_pid_;
  process.pid = next_pid_++;
  process.ticks = static_cast<uint64_t>(fibers_.now().count()) / 10 + 1;
  process.model = model;
  process.holds = holds;
  process.born = fibers_.now();
  process.ready = fibers_.now() + within(habits.load);
  process.host_late = within(habits.release_max);
  process.device_late = process.host_late + within(habits.release_max);
  process.fails = habits.fail_odds > 0 && rng_.below(habits.fail_odds) == 0;
  process.hangs = habits.hang_odds > 0 && rng_.below(habits.hang_odds) == 0;
  process.ignores_term = habits.ignore_odds > 0 && rng_.below(habits.ignore_odds) == 0;
  if (process.fails) process.dies = process.ready;
  if (habits.crash_odds > 0 && rng_.below(habits.crash_odds) == 0) {
    process.dies = fibers_.now() + within(habits.crash_within);
  }
  if (habits.stop_odds > 0 && rng_.below(habits.stop_odds) == 0) {
    process.stopped_from = fibers_.now() + within(Millis(2'000));
    process.stopped_to = *process.stopped_from + within(Millis(10'000));
  }
  if (habits.grow_odds > 0 && rng_.below(habits.grow_odds) == 0) {
    process.grows = process.ready + within(Millis(500));
    process.growth = MiB(32 + rng_.below(64));
  }
  for (const auto& [device, bytes] : holds) {
    Last& last = last_on_[device];
    if (!last.model.empty() && last.model != model && last.bytes + bytes > budgets[device]) {
      ++handovers;
      late_handovers += last.late ? 1 : 0;
    }
    const Millis late = device == "cpu" ? process.host_late : process.device_late;
    last = {model, bytes, late > Millis{0}};
  }
  ++spawns;
  const int pid = process.pid;
  processes_[pid] = std::move(process);
  return pid;
}

void World::open_gate(int pid) {
  SimProcess* process = find(pid);
  if (process == nullptr || !alive(*process)) return;
  process->gated = false;
  check_held("when " + process->model + " was started");
}

// A dead one is forgotten when its last byte is back.
void World::forget_gone() {
  for (auto at = processes_.begin(); at != processes_.end();) {
    SimProcess& process = at->second;
    const bool gone =
        !process.model.empty() && !alive(process) &&
        fibers_.now() > *process.ended + std::max(process.host_late, process.device_late);
    at = gone ? processes_.erase(at) : std::next(at);
  }
}

SimProcess* World::find(int pid) {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : &found->second;
}

bool World::alive(SimProcess& process) {
  if (process.ended) return false;
  if (process.dies && *process.dies <= fibers_.now()) {
    process.ended = process.dies;
    process.end_text = "killed by signal 11";
    return false;
  }
  return true;
}

void World::end(SimProcess& process, const std::string& how) {
  if (!alive(process)) return;
  process.ended = fibers_.now();
  process.end_text = how;
}

void World::add_foreign(int pid, uint64_t ticks) {
  SimProcess process;
  process.pid = pid;
  process.ticks = ticks;
  processes_[pid] = process;
}

Bytes World::held(const SimProcess& process, const std::string& device) const {
  const auto share = process.holds.find(device);
  if (share == process.holds.end() || process.gated) return {};
  Bytes bytes = share->second;
  if (device == "cpu" && process.grows && *process.grows <= fibers_.now()) bytes += process.growth;
  std::optional<Millis> ended = process.ended;
  if (!ended && process.dies && *process.dies <= fibers_.now()) ended = process.dies;
  if (!ended) return bytes;
  const Millis late = device == "cpu" ? process.host_late : process.device_late;
  return fibers_.now() < *ended + late ? bytes : Bytes{};
}

Bytes World::held(const std::string& device) const {
  Bytes sum;
  for (const auto& [pid, process] : processes_) sum += held(process, device);
  return sum;
}

size_t World::ours_alive() {
  size_t count = 0;
  for (auto& [pid, process] : processes_) count += !process.model.empty() && alive(process) ? 1 : 0;
  return count;
}

void World::check_held(const std::string& when) {
  for (const auto& [device, budget] : budgets) {
    Bytes sum, grown;
    std::string who;
    for (const auto& [pid, process] : processes_) {
      const Bytes bytes = held(process, device);
      if (bytes == Bytes{}) continue;
      sum += bytes;
      if (bytes > process.holds.at(device)) grown += bytes - process.holds.at(device);
      who += fmt::format(" {}({}{}) {}", process.model, pid, process.ended ? ", dead" : "",
                         format_bytes(bytes));
    }
    highest = std::max(highest, sum);
    if (growth_allowed) sum = sum - grown;
    if (sum > budget) {
      violated(fmt::format("{} are held on {}, the budget is {}, {}:{}", format_bytes(sum), device,
                           format_bytes(budget), when, who));
    }
  }
}

void World::orphan_or_end(uint32_t orphan_odds) {
  for (auto& [pid, process] : processes_) {
    if (process.model.empty()) continue;
    process.users = 0;
    const bool survives = !process.gated && orphan_odds > 0 && rng_.below(orphan_odds) == 0;
    if (!survives) end(process, "killed by signal 9");
  }
  locked.clear();
}

void World::reboot() {
  const std::map<int, SimProcess> before = std::exchange(processes_, {});
  ++boot_;
  locked.clear();
  // Numbers begin anew: other programs have now what ours had, some even started as late.
  for (const auto& [pid, process] : before) {
    if (rng_.below(2) == 0) add_foreign(pid, process.ticks);
  }
  next_pid_ = 1000 + static_cast<int>(rng_.below(20));
}

void World::reuse_pids() {
  for (auto& [pid, process] : processes_) {
    if (process.model.empty() || alive(process) || rng_.below(2) == 0) continue;
    const Millis late = std::max(process.host_late, process.device_late);
    if (fibers_.now() <= *process.ended + late) continue;
    const uint64_t ticks = process.ticks + 1 + rng_.below(100);
    process = SimProcess{};
    process.pid = pid;
    process.ticks = ticks;
  }
}

void World::kill(int pid, uint64_t ticks) {
  SimProcess* process = find(pid);
  if (process == nullptr || process->ticks != ticks) return;
  if (process->model.empty()) {
    violated(fmt::format("{} was killed, which is nobody's of ours", pid));
  }
  end(*process, "killed by signal 9");
}

}  // namespace gantry::sim
