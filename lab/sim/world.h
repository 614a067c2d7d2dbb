// What outlives a daemon: the disk with what was synced and what was not, the processes and the
// memory they hold, the boot and the clock on the wall. It is asked by SimOs, by SQLite's files
// (vfs.h) and by the checkers, who see here what really happened.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/os.h"
#include "lab/sim/fibers.h"

namespace gantry::sim {

// What becomes of bytes that were not synced when the power goes.
enum class Loss { kAll, kNone, kTail, kSome };

struct File {
  struct Piece {          // a write, or a truncation to `at` where there are no bytes
    size_t at = 0;
    std::string bytes;
    bool cut = false;
  };
  std::string now, synced;
  std::vector<Piece> unsynced;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;

  void write(size_t at, std::string_view bytes);
  void truncate(size_t size);
  void sync();
};

// How the processes of one model behave.
struct Habits {
  Millis load{50};
  Millis release_max{0};       // memory is back at most so late after the end
  uint32_t fail_odds = 0;      // one in so many dies while it loads
  uint32_t crash_odds = 0;     // one in so many dies within crash_within
  Millis crash_within{2'000};
  uint32_t hang_odds = 0;      // one in so many never gets ready
  uint32_t ignore_odds = 0;    // one in so many needs a SIGKILL, which comes after a while
  uint32_t stop_odds = 0;      // one in so many is stopped for a while (SIGSTOP, SIGCONT)
  uint32_t grow_odds = 0;      // one in so many takes more than it was given
};

struct SimProcess {
  int pid = 0;
  uint64_t ticks = 0;
  std::string model;             // empty: nobody's of ours
  std::map<std::string, Bytes> holds;
  Millis born{0};
  Millis ready{0};
  std::optional<Millis> dies;    // by itself, at this time
  std::optional<Millis> ended;   // no more instructions
  Millis host_late{0}, device_late{0};  // after its end
  std::optional<Millis> stopped_from, stopped_to;
  bool fails = false, hangs = false, ignores_term = false;
  std::optional<Millis> grows;
  Bytes growth;
  bool gated = true;             // its program has not begun: it holds nothing
  uint32_t users = 0;            // sessions that hold it, as their holders know
  std::string end_text;
};

class World {
 public:
  World(Fibers& fibers, uint64_t seed);

  // Disk.
  std::map<std::string, File> files;
  std::set<std::string> dirs;
  uint64_t written = 0;  // bytes, all together
  void lose_power(Loss loss);
  uint64_t disk_bytes() const;
  uint64_t next_inode() { return ++inodes_; }

  // Processes; the dead are kept for as long as they hold memory.
  // Waits at its gate, and ends there with the daemon.
  int spawn(const std::string& model, const Habits& habits,
            const std::map<std::string, Bytes>& holds);
  void open_gate(int pid);
  SimProcess* find(int pid);
  bool alive(SimProcess& process);          // its end by itself is noticed here
  void end(SimProcess& process, const std::string& how);
  void add_foreign(int pid, uint64_t ticks);
  Bytes held(const SimProcess& process, const std::string& device) const;
  Bytes held(const std::string& device) const;  // by all of ours
  std::map<int, SimProcess>& processes() { return processes_; }
  size_t ours_alive();
  void forget_gone();
  // The daemon is gone: its children end, but for some that are orphans now.
  void orphan_or_end(uint32_t orphan_odds);
  void reboot();
  void reuse_pids();  // other programs get the numbers of some that are gone
  void kill(int pid, uint64_t ticks);  // who has the number and was started then
  int boot() const { return boot_; }
  std::string boot_id() const { return "boot-" + std::to_string(boot_); }

  // Memory of each device that other programs hold just now.
  std::map<std::string, Bytes> capacity, others;
  std::set<std::string> locked;   // daemon.lock files
  Millis wall_offset{1'700'000'000'000};
  std::map<std::string, Bytes> budgets;   // what the daemon may lend
  bool growth_allowed = false;            // then what has grown is not the ledger's fault
  bool stopping = false;                  // the daemon ends workers that are used, too
  int open_files = 0;                     // of SQLite's
  size_t workers = 0;                     // objects that stand for one
  uint64_t spawns = 0, handovers = 0, late_handovers = 0;
  Bytes highest;

  // The first thing that may not be, for the run to end with.
  void violated(const std::string& what);
  void check_held(const std::string& when);

  Rng& rng() { return rng_; }

 private:
  Fibers& fibers_;
  Rng rng_;
  std::map<int, SimProcess> processes_;
  int next_pid_ = 1000;
  int boot_ = 1;
  uint64_t inodes_ = 0;
  struct Last {
    std::string model;
    Bytes bytes;
    bool late = false;
  };
  std::map<std::string, Last> last_on_;  // device to who was started on it last
};

World& world();  // of this process' simulation, as fibers() is

}  // namespace gantry::sim
