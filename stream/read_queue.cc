// See read_queue.h. One mutex guards everything; nothing here waits for the disk.
#include "stream/read_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace gantry {

namespace {

// Answers of EINTR and EAGAIN to one chunk before it is given up: a disk that is only busy never
// gets here, a driver that always says EAGAIN must not spin for ever.
constexpr unsigned kRetriesMax = 1000;

// Longer waits are this long; steady_clock's arithmetic would overflow on nanoseconds::max().
constexpr auto kWaitMax = std::chrono::hours(24);

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

bool aligned(uint64_t n) { return n % kReadAlign == 0; }

Error read_error(const ReadChunk& chunk, int err) {
  Error error = os_error(
      fmt::format("cannot read {} bytes at offset {}", chunk.bytes - chunk.at,
                  chunk.offset + chunk.at), err);
  error.code = Code::kIo;
  if (err == EIO) error.remedy = "look for errors of the disk in the kernel's log";
  return error;
}

Error became_shorter(const ReadChunk& chunk) {
  return {Code::kCorrupt,
          fmt::format("the file became shorter: it ends at {}, bytes up to {} were expected",
                      chunk.offset + chunk.got, chunk.offset + chunk.needed),
          "load the model again from a complete file"};
}

}  // namespace

ReadQueue::ReadQueue(const ReaderOptions& options)
    : chunk_bytes_(options.chunk_bytes),
      fault_(options.fault),
      slots_(options.requests),
      results_(options.requests) {
  free_.reserve(slots_.size());
  for (size_t i = slots_.size(); i > 0; --i) free_.push_back(static_cast<uint32_t>(i - 1));
}

Result<void> ReadQueue::submit(const ReadRequest& request) {
  const size_t needed = request.needed == 0 ? request.bytes : request.needed;
  if (request.bytes == 0 || needed > request.bytes || request.to == nullptr ||
      !aligned(request.offset) || !aligned(request.bytes) ||
      !aligned(reinterpret_cast<uintptr_t>(request.to)) ||
      request.offset > INT64_MAX - request.bytes) {
    return fail(Code::kUsage, fmt::format("a read of {} bytes at offset {} into {} is malformed",
                                          request.bytes, request.offset,
                                          static_cast<const void*>(request.to)),
                fmt::format("all three must be multiples of {}, and not zero", kReadAlign));
  }
  const size_t chunks = (request.bytes + chunk_bytes_ - 1) / chunk_bytes_;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return fail(Code::kCancelled, "the reader is closing");
    if (free_.empty()) {
      return fail(Code::kBusy, fmt::format("{} reads are already under way", slots_.size()),
                  "take finished reads first");
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    Slot& slot = slots_[index];
    slot = Slot{};
    slot.request = request;
    slot.request.needed = needed;
    slot.cut = round_up((request.bytes + chunks - 1) / chunks, kReadAlign);
    slot.waiting = true;
    (request.urgent ? urgent_ : patient_).push_back(index);
  }
  if (chunks > 1) {
    work_.notify_all();
  } else {
    work_.notify_one();
  }
  return {};
}

std::optional<ReadDone> ReadQueue::next(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  const auto until =
      Clock::now() + std::min<std::chrono::nanoseconds>(timeout, kWaitMax);
  done_.wait_until(lock, until, [&] { return woken_ || !finished_.empty(); });
  if (finished_.empty()) {
    woken_ = false;
    return std::nullopt;
  }
  const uint32_t index = finished_.front();
  finished_.pop_front();
  ReadDone done = std::move(results_[index]);
  free_.push_back(index);
  return done;
}

void ReadQueue::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  done_.notify_all();
}

ReaderStats ReadQueue::stats() const {
  const std::lock_guard lock(mutex_);
  ReaderStats stats = stats_;
  if (in_flight_ > 0) stats.busy += Clock::now() - busy_since_;
  return stats;
}

bool ReadQueue::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

std::optional<ReadChunk> ReadQueue::take() {
  const std::lock_guard lock(mutex_);
  return take_locked();
}

std::optional<ReadChunk> ReadQueue::take_or_wait() {
  std::unique_lock lock(mutex_);
  work_.wait(lock, [&] { return stopped_ || !urgent_.empty() || !patient_.empty(); });
  return take_locked();
}

std::optional<ReadChunk> ReadQueue::take_locked() {
  std::deque<uint32_t>& line = urgent_.empty() ? patient_ : urgent_;
  if (stopped_ || line.empty()) return std::nullopt;
  const uint32_t index = line.front();
  Slot& slot = slots_[index];
  const ReadRequest& request = slot.request;
  ReadChunk chunk;
  chunk.slot = index;
  chunk.fd = request.fd;
  chunk.offset = request.offset + slot.issued;
  chunk.to = request.to + slot.issued;
  chunk.bytes = std::min(slot.cut, request.bytes - slot.issued);
  chunk.needed =
      request.needed > slot.issued ? std::min(chunk.bytes, request.needed - slot.issued) : 0;
  chunk.direct = request.direct;
  const auto now = Clock::now();
  if (slot.issued == 0) slot.begun = now;
  if (in_flight_++ == 0) busy_since_ = now;
  slot.issued += chunk.bytes;
  slot.open++;
  if (slot.issued == request.bytes) {
    line.pop_front();
    slot.waiting = false;
  }
  return chunk;
}

std::optional<Result<void>> ReadQueue::answered(ReadChunk& chunk, int64_t answer) const {
  if (fault_) answer = fault_(chunk.offset + chunk.at, chunk.bytes - chunk.at, answer);
  if (answer < 0) {
    const int err = static_cast<int>(-answer);
    if ((err == EINTR || err == EAGAIN) && ++chunk.retries < kRetriesMax) return std::nullopt;
    return fail(read_error(chunk, err));
  }
  const size_t end = std::min(chunk.at + static_cast<size_t>(answer), chunk.bytes);
  const bool progress = end > chunk.got;
  if (progress) chunk.got = end;
  // Behind `needed` lies only alignment, where the file may end.
  if (chunk.got == chunk.bytes || (chunk.needed > 0 && chunk.got >= chunk.needed)) {
    return Result<void>{};
  }
  if (!progress) {
    if (chunk.got >= chunk.needed) return Result<void>{};
    return fail(became_shorter(chunk));
  }
  chunk.at = chunk.got / kReadAlign * kReadAlign;  // O_DIRECT cannot go on in mid-block
  return std::nullopt;
}

void ReadQueue::finish(const ReadChunk& chunk, Result<void> outcome) {
  // A file that refused O_DIRECT would otherwise fill the page cache with weights read once.
  if (!chunk.direct) {
    ::posix_fadvise(chunk.fd, static_cast<off_t>(chunk.offset), static_cast<off_t>(chunk.bytes),
                    POSIX_FADV_DONTNEED);
  }
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[chunk.slot];
  slot.open--;
  slot.got += chunk.got;
  if (--in_flight_ == 0) stats_.busy += Clock::now() - busy_since_;
  if (!outcome && !slot.error) {
    slot.error = std::move(outcome.error());
    if (slot.waiting) leave_line(chunk.slot);
  }
  if (slot.open == 0 && !slot.waiting) complete(chunk.slot);
}

void ReadQueue::leave_line(uint32_t index) {
  Slot& slot = slots_[index];
  std::deque<uint32_t>& line = slot.request.urgent ? urgent_ : patient_;
  line.erase(std::find(line.begin(), line.end(), index));
  slot.waiting = false;
}

// mutex_ is held, as in the two above.
void ReadQueue::complete(uint32_t index) {
  Slot& slot = slots_[index];
  ReadDone& done = results_[index];
  done.tag = slot.request.tag;
  done.took = slot.issued == 0 ? Clock::duration{0} : Clock::now() - slot.begun;
  if (slot.error) {
    if (slot.error->code != Code::kCancelled) stats_.errors++;
    done.bytes = fail(std::move(*slot.error));
  } else {
    stats_.bytes += slot.got;
    done.bytes = slot.got;
  }
  stats_.requests++;
  finished_.push_back(index);
  done_.notify_one();
}

void ReadQueue::drop_waiting(std::deque<uint32_t>& line) {
  for (const uint32_t index : line) {
    Slot& slot = slots_[index];
    slot.waiting = false;
    if (!slot.error) slot.error = Error{Code::kCancelled, "the read was cancelled"};
    if (slot.open == 0) complete(index);
  }
  line.clear();
}

void ReadQueue::cancel_queued() {
  const std::lock_guard lock(mutex_);
  drop_waiting(urgent_);
  drop_waiting(patient_);
}

void ReadQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    drop_waiting(urgent_);
    drop_waiting(patient_);
  }
  work_.notify_all();
}

Result<std::thread> start_quiet_thread(std::function<void()> run, const char* name) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the thread
  Result<std::thread> thread;
  try {
    thread = std::thread(std::move(run));
    pthread_setname_np(thread->native_handle(), name);
  } catch (const std::system_error& thrown) {
    thread = fail(Code::kUnavailable, fmt::format("cannot start a thread: {}", thrown.what()),
                  "raise the limit of processes (ulimit -u)");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace gantry
