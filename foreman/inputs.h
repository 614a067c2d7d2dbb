// What jobs were given, kept by content: STATE/inputs/SHA256, the same bytes once.
//
// A file is copied aside, synced, renamed to its hash, and only then is the job stored that reads
// it. It goes when no job needs it: those that are done do not, those that may be tried again do.
// The database's rows are the count; what lies here without one, after a crash, is swept.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/os.h"
#include "base/sync.h"
#include "foreman/store.h"

namespace gantry {

// Thread-safe.
class Inputs {
 public:
  // Nothing of these goes while this lives, whatever the rows say.
  class Pin {
   public:
    Pin(Inputs& inputs, std::string sha256);
    Pin(Pin&& other) noexcept : inputs_(other.inputs_), sha256_(std::move(other.sha256_)) {
      other.inputs_ = nullptr;
    }
    Pin& operator=(Pin&&) = delete;
    ~Pin();

   private:
    Inputs* inputs_;
    std::string sha256_;
  };

  Inputs(Os& os, Store& store, std::string dir);

  // Makes the folder, and removes what no job needs. Before anything else is asked of it.
  [[nodiscard]] Result<void> open();
  // Copies the file and tells its size and hash in `file`. It stays as long as the pin, then as
  // long as a job's row names it.
  [[nodiscard]] Result<Pin> keep(const std::string& path, FileIdentity* file);
  // A name of the kept file at `path`, whose bytes have been read and are the ones that were kept.
  // kCorrupt, which names the file, where they are not.
  [[nodiscard]] Result<void> place(const FileIdentity& file, const std::string& path);
  // Removes those of `hashes` (empty ones are none) that no job needs any more.
  void let_go(const std::vector<std::string>& hashes);
  // Until end_stay nothing goes: a copy of the rows is being made, and the files come after them.
  void begin_stay();
  void end_stay();

 private:
  void pin(const std::string& sha256);
  void unpin(const std::string& sha256);
  void drop_locked(const std::string& sha256);
  void sweep_locked();
  std::string path_of(const std::string& sha256) const { return join_path(dir_, sha256); }

  Os& os_;
  Store& store_;
  const std::string dir_;
  Mutex mutex_;
  std::map<std::string, uint32_t> pins_;
  uint32_t stays_ = 0;
  uint64_t copies_ = 0;  // begun
};

}  // namespace gantry
