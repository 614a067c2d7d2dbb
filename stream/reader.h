// Direct reads from disk: several requests in flight, finished in any order, one consumer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace gantry {

// Offsets, addresses and lengths of reads are multiples of this: enough for O_DIRECT everywhere.
inline constexpr size_t kReadAlign = 4096;
inline constexpr size_t kReadDepthMax = 64;            // chunks in flight
inline constexpr size_t kReadChunkMax = 64ull << 20;
inline constexpr size_t kReadRequestsMax = 4096;       // requests from submit() to next()

// What tells one state of one file from another. Equal identities: nothing was written between.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

// A regular file open for reading; closes itself. Not thread-safe to move, otherwise immutable.
class DirectFile {
 public:
  DirectFile() = default;
  DirectFile(int fd, bool direct, const FileStamp& identity, std::string path);  // owns fd
  DirectFile(DirectFile&& other) noexcept;
  DirectFile& operator=(DirectFile&& other) noexcept;
  ~DirectFile();

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  uint64_t size() const { return identity_.size; }
  // False where the file system refuses O_DIRECT (tmpfs): pass this on as ReadRequest::direct.
  bool direct() const { return direct_; }
  const FileStamp& identity() const { return identity_; }
  const std::string& path() const { return path_; }

  // kCorrupt when the file was written, cut or extended since it was opened. A file replaced by
  // rename is no change: the descriptor keeps the old one alive.
  [[nodiscard]] Result<void> unchanged() const;

 private:
  int fd_ = -1;
  bool direct_ = false;
  FileStamp identity_;
  std::string path_;
};

// With O_DIRECT where the file system takes it (tried with one read), else through the page cache.
[[nodiscard]] Result<DirectFile> open_direct(const std::string& path);

// Asks for 2 MiB pages under [begin, begin + bytes), best before it is first touched. The same
// direct reads run two to three times as fast into huge pages on virtual disks (their requests
// hold few pieces); no harm elsewhere. Best effort: no answer.
void prefer_huge_pages(std::byte* begin, size_t bytes);

// One read. `to` must stay valid and untouched until its ReadDone was taken or the reader is gone.
struct ReadRequest {
  int fd = -1;
  uint64_t offset = 0;      // multiple of kReadAlign, like `to` and `bytes`
  std::byte* to = nullptr;
  size_t bytes = 0;         // not zero
  size_t needed = 0;        // bytes that must arrive; the rest is alignment and may lie behind
                            // the file's end. 0: all of `bytes`
  uint64_t tag = 0;         // comes back in ReadDone
  bool direct = true;       // false: the kernel is told to drop the page cache's copy afterwards
  bool urgent = false;      // is issued before all requests that are not urgent
};

struct ReadDone {
  uint64_t tag = 0;
  // Bytes read (>= needed), or kIo, kCorrupt (the file became shorter), kCancelled.
  Result<size_t> bytes = 0;
  std::chrono::nanoseconds took{0};  // from the first chunk issued to the last one finished
};

struct ReaderStats {
  uint64_t bytes = 0;                // read without error
  uint64_t requests = 0;             // finished, errors and cancelled ones included
  uint64_t errors = 0;
  std::chrono::nanoseconds busy{0};  // while at least one chunk was in flight
};

// Threads: submit, cancel_queued, wake, stats from any thread; next from one thread at a time.
// Reads proceed on the reader's own threads (all signals blocked), whether or not anybody waits.
// The destructor drops what is queued and waits until the kernel writes into no buffer any more.
class Reader {
 public:
  virtual ~Reader() = default;

  // Never waits for the disk. kBusy: Options::requests are under way or not yet taken by next().
  // kUsage: misaligned, empty or needed > bytes.
  [[nodiscard]] virtual Result<void> submit(const ReadRequest& request) = 0;

  // The next finished request; nothing when the timeout passed or wake() was called.
  virtual std::optional<ReadDone> next(std::chrono::nanoseconds timeout) = 0;

  // Drops every chunk that is not yet issued; their requests finish as kCancelled, those partly
  // issued when the kernel is done with them.
  virtual void cancel_queued() = 0;

  // Makes the waiting (or else the following) next() return nothing at once, unless a finished
  // request is there.
  virtual void wake() = 0;

  virtual ReaderStats stats() const = 0;
  virtual const char* name() const = 0;  // "uring" or "threads"
};

enum class ReaderKind { kAuto, kUring, kThreads };

struct ReaderOptions {
  ReaderKind kind = ReaderKind::kAuto;
  size_t depth = 0;         // chunks in flight, 0: the default (reader.cc says why)
  size_t chunk_bytes = 0;   // multiple of kReadAlign, 0: the default
  size_t requests = 256;    // the queue's limit, see submit()
  // Faults for tests: sees what the kernel answered for a chunk's part (bytes or -errno) and
  // returns what to believe instead. Called on the reader's threads.
  std::function<int64_t(uint64_t offset, size_t bytes, int64_t answer)> fault = {};
};

struct MadeReader {
  std::unique_ptr<Reader> reader;
  std::string note;  // why kAuto fell back to threads; empty where it did not
};

// kAuto: io_uring where the kernel has it and permits it, else threads. kUring where it is not to
// be had: kUnavailable with the kernel's reason.
[[nodiscard]] Result<MadeReader> make_reader(const ReaderOptions& options);

}  // namespace gantry
