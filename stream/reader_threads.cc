// The Reader for kernels without io_uring: each thread has one chunk in flight.
#include <unistd.h>

#include <cerrno>

#include "stream/read_queue.h"

namespace gantry {

namespace {

class ThreadsReader : public QueueReader {
 public:
  explicit ThreadsReader(const ReaderOptions& options) : QueueReader(options) {}
  ~ThreadsReader() override {
    queue_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  Result<void> start(size_t threads) {
    for (size_t i = 0; i < threads; ++i) {
      Result<std::thread> thread = start_quiet_thread([this] { serve(); }, "gantry-read");
      if (thread) {
        threads_.push_back(std::move(*thread));
      } else if (threads_.empty()) {
        return fail(std::move(thread.error()));
      } else {
        break;  // fewer in flight, but reading
      }
    }
    return {};
  }

  const char* name() const override { return "threads"; }

 private:
  void serve() {
    while (std::optional<ReadChunk> chunk = queue_.take_or_wait()) {
      Result<void> outcome = read_chunk(queue_, *chunk);
      queue_.finish(*chunk, std::move(outcome));
    }
  }

  std::vector<std::thread> threads_;
};

}  // namespace

Result<void> read_chunk(const ReadQueue& queue, ReadChunk& chunk) {
  for (;;) {
    const ssize_t answer = ::pread(chunk.fd, chunk.to + chunk.at, chunk.bytes - chunk.at,
                                   static_cast<off_t>(chunk.offset + chunk.at));
    if (auto outcome = queue.answered(chunk, answer < 0 ? -errno : answer)) return *outcome;
  }
}

Result<std::unique_ptr<Reader>> make_threads_reader(const ReaderOptions& options) {
  auto reader = std::make_unique<ThreadsReader>(options);
  const Result<void> started = reader->start(options.depth);
  if (!started) return fail(started.error());
  return reader;
}

}  // namespace gantry
