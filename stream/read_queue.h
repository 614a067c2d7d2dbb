// What both kinds of Reader share: requests cut into chunks, continued after short answers, put
// together again and handed to the consumer. Knows no system call that reads.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "stream/reader.h"

namespace gantry {

// A part of a request that one read of the kernel's is to fill. Owned by whoever took it.
struct ReadChunk {
  uint32_t slot = 0;      // whose part it is
  int fd = -1;
  uint64_t offset = 0;
  std::byte* to = nullptr;
  size_t bytes = 0;
  size_t needed = 0;      // of this chunk
  bool direct = true;
  size_t got = 0;         // bytes that arrived, from the chunk's start
  size_t at = 0;          // where the next read begins: got, rounded down to kReadAlign
  unsigned retries = 0;
};

// Thread-safe. Every chunk taken must come back through finish().
class ReadQueue {
 public:
  explicit ReadQueue(const ReaderOptions& options);  // all fields set, within their limits

  [[nodiscard]] Result<void> submit(const ReadRequest& request);
  std::optional<ReadDone> next(std::chrono::nanoseconds timeout);
  void cancel_queued();
  void wake();
  ReaderStats stats() const;

  // The next chunk to read, in the order of submission. The second waits for one; both return
  // nothing after stop().
  std::optional<ReadChunk> take();
  std::optional<ReadChunk> take_or_wait();

  // Digests what the kernel answered to a read of the chunk's bytes from `at`: nothing while the
  // chunk needs another read (`at` says from where), else its outcome for finish().
  std::optional<Result<void>> answered(ReadChunk& chunk, int64_t answer) const;
  void finish(const ReadChunk& chunk, Result<void> outcome);

  void stop();  // cancels what is queued; nothing is taken any more
  bool stopped() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Slot {
    ReadRequest request;
    size_t cut = 0;     // bytes of each chunk but the last
    size_t issued = 0;  // bytes handed out as chunks
    size_t open = 0;    // chunks taken and not finished
    size_t got = 0;
    bool waiting = false;  // in one of the two lines
    std::optional<Error> error;
    Clock::time_point begun;
  };

  std::optional<ReadChunk> take_locked();
  void drop_waiting(std::deque<uint32_t>& line);
  void leave_line(uint32_t slot);
  void complete(uint32_t slot);

  const size_t chunk_bytes_;
  const std::function<int64_t(uint64_t, size_t, int64_t)> fault_;

  mutable std::mutex mutex_;
  std::condition_variable work_;  // a chunk to take, or stop
  std::condition_variable done_;  // a request finished, or wake
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::deque<uint32_t> urgent_, patient_, finished_;
  std::vector<ReadDone> results_;  // by slot, valid while the slot is in finished_
  size_t in_flight_ = 0;
  Clock::time_point busy_since_;
  ReaderStats stats_;
  bool woken_ = false;
  bool stopped_ = false;
};

// A Reader whose state is a ReadQueue; a kind adds what takes chunks and reads them.
class QueueReader : public Reader {
 public:
  explicit QueueReader(const ReaderOptions& options) : queue_(options) {}
  [[nodiscard]] Result<void> submit(const ReadRequest& request) override {
    Result<void> taken = queue_.submit(request);
    if (taken) work_arrived();
    return taken;
  }
  std::optional<ReadDone> next(std::chrono::nanoseconds timeout) override {
    return queue_.next(timeout);
  }
  void cancel_queued() override { queue_.cancel_queued(); }
  void wake() override { queue_.wake(); }
  ReaderStats stats() const override { return queue_.stats(); }

 protected:
  virtual void work_arrived() {}
  ReadQueue queue_;
};

// A thread with all signals blocked: a program's handlers never run on it.
[[nodiscard]] Result<std::thread> start_quiet_thread(std::function<void()> run, const char* name);

// Reads a chunk to its end on this thread.
[[nodiscard]] Result<void> read_chunk(const ReadQueue& queue, ReadChunk& chunk);

// The two kinds. Options have no zeros left.
[[nodiscard]] Result<std::unique_ptr<Reader>> make_uring_reader(const ReaderOptions& options);
[[nodiscard]] Result<std::unique_ptr<Reader>> make_threads_reader(const ReaderOptions& options);

}  // namespace gantry
