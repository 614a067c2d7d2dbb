// Children and what they tell in shared memory.
#include "lab/sim/batches.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>

namespace gantry::sim {

namespace {

constexpr size_t kChildren = 2;
constexpr uint64_t kBatch = 200;
constexpr uint64_t kTwice = 64;

struct Slot {
  Tally tally;
  uint64_t seed = 0;  // under way
  pid_t pid = 0;
};

struct Shared {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> stop{false};
  std::array<Slot, kChildren> slots;
};

Outcome run_seed(uint64_t seed, const std::string& dir) {
  return std::make_unique<Simulation>(seed, dir, false)->run();
}

void take_batch(const Batches& batches, Shared* shared, Slot* slot) {
  const uint64_t begin = shared->next.fetch_add(kBatch);
  for (uint64_t i = begin; i < std::min(begin + kBatch, batches.count) && !shared->stop; ++i) {
    const uint64_t seed = batches.from + i * batches.stride;
    slot->seed = seed;
    Outcome outcome = run_seed(seed, batches.dir);
    Tally& tally = slot->tally;
    if (outcome.ok && i % kTwice == 0) {
      const Outcome again = run_seed(seed, batches.dir);
      ++tally.twice;
      if (again.digest != outcome.digest) {
        outcome.ok = false;
        outcome.why = fmt::format("two runs differ: {:016x}, {:016x}", outcome.digest,
                                  again.digest);
      }
    }
    ++tally.seeds;
    tally.points += outcome.points;
    tally.switches += outcome.switches;
    tally.lives += outcome.lives;
    tally.jobs += outcome.jobs;
    tally.workers += outcome.workers;
    tally.handovers += outcome.handovers;
    tally.late_handovers += outcome.late_handovers;
    tally.simulated_s += static_cast<uint64_t>(outcome.simulated.count()) / 1000;
    if (!outcome.ok) tally.failure(seed, outcome.why);
    if (!outcome.ok && batches.stop_at_failure) shared->stop = true;
    uint64_t handovers = 0;
    for (const Slot& each : shared->slots) handovers += each.tally.handovers;
    if (batches.handovers_max > 0 && handovers >= batches.handovers_max) shared->stop = true;
  }
}

}  // namespace

void Tally::failure(uint64_t seed, const std::string& text) {
  if (++failed > 1 && first_failed <= seed) return;
  first_failed = seed;
  std::strncpy(why, text.c_str(), sizeof why - 1);
}

void Tally::add(const Tally& other) {
  if (other.failed > 0 && (failed == 0 || other.first_failed < first_failed)) {
    first_failed = other.first_failed;
    std::memcpy(why, other.why, sizeof why);
  }
  seeds += other.seeds, failed += other.failed, twice += other.twice;
  points += other.points, switches += other.switches, lives += other.lives;
  jobs += other.jobs, workers += other.workers, simulated_s += other.simulated_s;
  handovers += other.handovers, late_handovers += other.late_handovers;
}

Tally run_batches(const Batches& batches) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  auto* shared = std::construct_at(static_cast<Shared*>(memory));
  const auto wanted = [&] { return !shared->stop && shared->next < batches.count; };
  size_t children = 0;
  for (;;) {
    for (Slot& slot : shared->slots) {
      if (slot.pid != 0 || !wanted()) continue;
      slot.pid = fork();
      if (slot.pid < 0) std::abort();
      if (slot.pid == 0) {
        take_batch(batches, shared, &slot);
        _exit(0);
      }
      ++children;
    }
    if (children == 0) break;
    int status = 0;
    const pid_t ended = wait(&status);
    --children;
    for (Slot& slot : shared->slots) {
      if (slot.pid != ended) continue;
      slot.pid = 0;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      ++slot.tally.seeds;
      slot.tally.failure(slot.seed, fmt::format("the process ended with status {:#x}", status));
      if (batches.stop_at_failure) shared->stop = true;
    }
  }
  Tally total;
  for (const Slot& slot : shared->slots) total.add(slot.tally);
  munmap(memory, sizeof(Shared));
  return total;
}

}  // namespace gantry::sim
