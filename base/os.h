// The one seam to the operating system: files, facts and processes. RealOs is the machine;
// FakeOs (base/fake_os.h) is a table in memory that fails when a test says so.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace gantry {

struct FileInfo {
  Bytes size;
  uint32_t mode = 0;      // permission bits
  bool is_dir = false;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
};

// Read-only bytes of a whole file; unmapped when it goes.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::span<const std::byte> bytes() const = 0;
};

struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH unless it has a slash
  std::vector<std::pair<std::string, std::string>> env;  // added to the parent's
  bool bare_env = false;  // of the parent's only PATH, HOME, locale and what drivers need
  std::string cwd;                                       // empty: the parent's
  std::string output_file;     // stdout and stderr are appended there; empty: /dev/null
  bool pipe_io = false;        // stdin and stdout are pipes of ours (stderr as above)
  bool detached = false;       // own session, outlives the parent; else dies with it
  int niceness = 0;            // added to the parent's
  bool batch = false;          // SCHED_BATCH: throughput, never ahead of the desktop
  std::vector<int> cpus;       // affinity; empty: all
  bool idle_io = false;        // the disk last, behind everybody of the same class
  int oom_score = 0;           // added to the parent's: who goes first when memory runs out
  // Called with the child's number before its program begins: so it can be written down who it is
  // while it has nothing yet. An Error ends it, and so does our own end.
  std::function<Result<void>(int pid)> gate;
};

struct Exit {
  int status = 0;   // exit status, when signal is 0
  int signal = 0;
  bool ok() const { return status == 0 && signal == 0; }
  std::string text() const;  // "exit status 3", "killed by signal 9"
};

// A running child in a process group of its own. Destroying it kills the group and reaps it
// (unless detached); so does the leader's own exit, once wait() has seen it. One thread at a time,
// except signal_group and pid, which any thread may call.
class Process {
 public:
  virtual ~Process() = default;
  virtual int pid() const = 0;
  virtual void signal_group(int signal) = 0;
  // The exit once it is there, nothing when the time ran out first. Zero only looks.
  virtual std::optional<Exit> wait(Millis timeout) = 0;
  // With pipe_io: one '\n'-terminated line each way. kTimeout, kTooLarge (line over max),
  // kWorkerFailed when the other side is gone.
  [[nodiscard]] virtual Result<void> write_line(std::string_view line) = 0;
  [[nodiscard]] virtual Result<std::string> read_line(Millis timeout, Bytes max) = 0;
};

class Os {
 public:
  virtual ~Os() = default;

  // Files. A path is UTF-8. Reads refuse with kTooLarge over max.
  [[nodiscard]] virtual Result<std::string> read_file(const std::string& path, Bytes max) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<MappedFile>> map_file(const std::string& path) = 0;
  // All of a file of any size. A disk that fails is an error here; in a mapping it is a signal.
  [[nodiscard]] virtual Result<void> read_pieces(
      const std::string& path, const std::function<void(std::string_view)>& on_piece) = 0;
  [[nodiscard]] virtual Result<FileInfo> stat(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& dir) = 0;
  // Written aside, synced, renamed, directory synced: after it returns, it is there for good.
  [[nodiscard]] virtual Result<void> write_file(const std::string& path, std::string_view bytes,
                                                uint32_t mode) = 0;
  // A whole file of any size, likewise; where the file system can, its blocks are shared until one
  // of the two is written to.
  [[nodiscard]] virtual Result<void> copy_file(const std::string& from, const std::string& to) = 0;
  // A second name for a file that never changes; a copy where the file system cannot.
  [[nodiscard]] virtual Result<void> link_file(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Result<void> move_file(const std::string& from, const std::string& to) = 0;
  // Those that are not there; there for good after it returns, as what is written into them.
  [[nodiscard]] virtual Result<void> make_dirs(const std::string& path, uint32_t mode) = 0;
  [[nodiscard]] virtual Result<void> remove(const std::string& path) = 0;  // file or whole tree
  [[nodiscard]] virtual Result<Bytes> free_space(const std::string& path) = 0;

  // Processes. Children that are not detached die with this process, however it dies.
  [[nodiscard]] virtual Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) = 0;
  // Proportional set size of one process (smaps_rollup); kNotFound when it is gone.
  [[nodiscard]] virtual Result<Bytes> pss(int pid) = 0;
  // Start time in clock ticks since boot: with the pid and the boot id, an identity.
  [[nodiscard]] virtual Result<uint64_t> start_time(int pid) = 0;
  // A signal to the process that started then, and to the group it leads. Whoever has its number
  // by now is left alone.
  virtual void kill_group(int pid, uint64_t start_ticks, int signal) = 0;
  // Processor time that the group led by this process has used so far.
  [[nodiscard]] virtual Result<Millis> cpu_time(int pid) = 0;
  virtual void sleep(Millis duration) = 0;

  virtual std::optional<std::string> env(const std::string& name) = 0;
  // This program's own executable, resolved.
  virtual std::string self_exe() = 0;
};

// Held while alive; another process asking for the same path gets kBusy.
class FileLock {
 public:
  virtual ~FileLock() = default;
};
[[nodiscard]] Result<std::unique_ptr<FileLock>> lock_file(const std::string& path);

std::unique_ptr<Os> make_real_os();

// Path arithmetic on strings; no system call.
std::string join_path(std::string_view dir, std::string_view name);
std::string base_name(std::string_view path);
std::string dir_name(std::string_view path);

}  // namespace gantry
