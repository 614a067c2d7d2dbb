// The Reader on io_uring, by system calls alone: a plugin should need no library that its host
// program's machine may lack. One thread owns the ring; everybody else talks to the queue.
#include <fmt/format.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>

#include "stream/read_queue.h"

namespace gantry {

namespace {

// user_data of the poll that submit() and the destructor trigger; all others are chunk indices.
constexpr uint64_t kWakeTag = UINT64_MAX;

// What the kernel says about a finished operation.
struct Completion {
  uint64_t tag = 0;
  int32_t answer = 0;  // bytes or -errno
};

// A mapping of the ring's that unmaps itself.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  bool map(int fd, size_t size, uint64_t offset) {
    size_ = size;
    data_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                   static_cast<off_t>(offset));
    // A forked child must not find the parent's ring in its memory.
    if (data_ != MAP_FAILED) ::madvise(data_, size, MADV_DONTFORK);
    return data_ != MAP_FAILED;
  }
  template <class T>
  T* at(uint32_t offset) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(data_) + offset);
  }

 private:
  void* data_ = MAP_FAILED;
  size_t size_ = 0;
};

// The two queues shared with the kernel. Used by one thread only.
class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (fd_ >= 0) ::close(fd_);
  }

  Result<void> open(unsigned entries) {
    io_uring_params params{};
    fd_ = static_cast<int>(::syscall(__NR_io_uring_setup, entries, &params));
    if (fd_ < 0) return refused("io_uring is refused", errno);
    // Came with 5.6, as did IORING_OP_READ; single mmap is older.
    if ((params.features & IORING_FEAT_RW_CUR_POS) == 0) {
      return fail(Code::kUnavailable, "this kernel's io_uring is older than 5.6");
    }
    const size_t submit_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    const size_t complete_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    if (!queues_.map(fd_, std::max(submit_bytes, complete_bytes), IORING_OFF_SQ_RING) ||
        !entries_.map(fd_, params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES)) {
      return refused("io_uring's memory is refused", errno);
    }
    submit_mask_ = *queues_.at<uint32_t>(params.sq_off.ring_mask);
    complete_mask_ = *queues_.at<uint32_t>(params.cq_off.ring_mask);
    submit_head_ = queues_.at<uint32_t>(params.sq_off.head);
    submit_tail_ = queues_.at<uint32_t>(params.sq_off.tail);
    submit_array_ = queues_.at<uint32_t>(params.sq_off.array);
    complete_head_ = queues_.at<uint32_t>(params.cq_off.head);
    complete_tail_ = queues_.at<uint32_t>(params.cq_off.tail);
    completions_ = queues_.at<io_uring_cqe>(params.cq_off.cqes);
    return {};
  }

  // The caller keeps fewer than `entries` operations under way, so there is always room.
  void push(const io_uring_sqe& operation) {
    const uint32_t tail = *submit_tail_;
    entries_.at<io_uring_sqe>(0)[tail & submit_mask_] = operation;
    submit_array_[tail & submit_mask_] = tail & submit_mask_;
    std::atomic_ref(*submit_tail_).store(tail + 1, std::memory_order_release);
  }

  // Gives the kernel what was pushed and waits until something is finished. 0 or errno.
  int enter() {
    const uint32_t pushed =
        *submit_tail_ - std::atomic_ref(*submit_head_).load(std::memory_order_acquire);
    const long answer = ::syscall(__NR_io_uring_enter, fd_, pushed, 1u, IORING_ENTER_GETEVENTS,
                                  nullptr, size_t{0});
    return answer < 0 ? errno : 0;
  }

  std::optional<Completion> pop() {
    const uint32_t head = *complete_head_;
    if (head == std::atomic_ref(*complete_tail_).load(std::memory_order_acquire)) return {};
    const io_uring_cqe& entry = completions_[head & complete_mask_];
    const Completion completion{entry.user_data, entry.res};
    std::atomic_ref(*complete_head_).store(head + 1, std::memory_order_release);
    return completion;
  }

  // The operations pushed that the kernel never took, when it refuses enter().
  std::vector<uint64_t> take_back() {
    std::vector<uint64_t> tags;
    for (uint32_t at = *submit_head_; at != *submit_tail_; ++at) {
      tags.push_back(entries_.at<io_uring_sqe>(0)[at & submit_mask_].user_data);
    }
    *submit_tail_ = *submit_head_;
    return tags;
  }

 private:
  static tl::unexpected<Error> refused(const char* what, int err) {
    return fail(Code::kUnavailable, os_error(what, err).message,
                "read with threads, or permit io_uring (seccomp, kernel.io_uring_disabled)");
  }

  int fd_ = -1;
  Mapping queues_, entries_;
  uint32_t submit_mask_ = 0, complete_mask_ = 0;
  uint32_t *submit_head_ = nullptr, *submit_tail_ = nullptr, *submit_array_ = nullptr;
  uint32_t *complete_head_ = nullptr, *complete_tail_ = nullptr;
  io_uring_cqe* completions_ = nullptr;
};

class UringReader : public QueueReader {
 public:
  explicit UringReader(const ReaderOptions& options)
      : QueueReader(options), chunks_(options.depth) {
    for (size_t i = 0; i < chunks_.size(); ++i) idle_.push_back(i);
  }
  ~UringReader() override {
    queue_.stop();
    work_arrived();
    if (thread_.joinable()) thread_.join();
    if (wake_ >= 0) ::close(wake_);
  }

  Result<void> start() {
    wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_ < 0) return fail(os_error("cannot make an eventfd", errno));
    const auto entries = std::bit_ceil(static_cast<unsigned>(chunks_.size()) + 1);
    if (Result<void> opened = ring_.open(entries); !opened) return opened;
    Result<std::thread> thread = start_quiet_thread([this] { serve(); }, "gantry-uring");
    if (!thread) return fail(std::move(thread.error()));
    thread_ = std::move(*thread);
    return {};
  }

  const char* name() const override { return "uring"; }

 protected:
  void work_arrived() override {
    // Full counters (EAGAIN) wake as well: nothing to check.
    [[maybe_unused]] const ssize_t written = ::eventfd_write(wake_, 1);
  }

 private:
  bool reading() const { return idle_.size() < chunks_.size(); }

  void serve() {
    arm_wake();
    for (;;) {
      const bool stopping = queue_.stopped();  // before take(): nothing is taken afterwards
      issue();
      if (stopping && !reading()) return;
      const int err = ring_.enter();
      if (err != 0 && err != EINTR && err != EAGAIN && err != EBUSY) return serve_without_ring();
      reap();
    }
  }

  void issue() {
    while (!idle_.empty()) {
      std::optional<ReadChunk> chunk = queue_.take();
      if (!chunk) return;
      const size_t index = idle_.back();
      idle_.pop_back();
      chunks_[index] = *chunk;
      push_read(index);
    }
  }

  void push_read(size_t index) {
    const ReadChunk& chunk = chunks_[index];
    io_uring_sqe read{};
    read.opcode = IORING_OP_READ;
    // Through the page cache the kernel would copy here and now, one chunk after the other.
    read.flags = chunk.direct ? 0 : IOSQE_ASYNC;
    read.fd = chunk.fd;
    read.off = chunk.offset + chunk.at;
    read.addr = reinterpret_cast<uintptr_t>(chunk.to + chunk.at);
    read.len = static_cast<uint32_t>(chunk.bytes - chunk.at);
    read.user_data = index;
    ring_.push(read);
  }

  // A poll writes no memory of ours, so one may be left behind when the ring is closed.
  void arm_wake() {
    io_uring_sqe poll{};
    poll.opcode = IORING_OP_POLL_ADD;
    poll.fd = wake_;
    poll.poll32_events = POLLIN;
    poll.user_data = kWakeTag;
    ring_.push(poll);
  }

  void reap() {
    while (const std::optional<Completion> completion = ring_.pop()) {
      if (completion->tag == kWakeTag) {
        eventfd_t count = 0;
        ::eventfd_read(wake_, &count);
        arm_wake();
      } else if (!digest(completion->tag, completion->answer)) {
        push_read(completion->tag);
      }
    }
  }

  // False where the chunk needs another read.
  bool digest(size_t index, int64_t answer) {
    std::optional<Result<void>> outcome = queue_.answered(chunks_[index], answer);
    if (!outcome) return false;
    queue_.finish(chunks_[index], std::move(*outcome));
    idle_.push_back(index);
    return true;
  }

  // A seccomp filter that came after us refuses the ring: what the kernel has it still finishes,
  // everything else is read here, one chunk at a time.
  void serve_without_ring() {
    const auto read_here = [this](size_t index) {
      Result<void> outcome = read_chunk(queue_, chunks_[index]);
      queue_.finish(chunks_[index], std::move(outcome));
      idle_.push_back(index);
    };
    for (const uint64_t tag : ring_.take_back()) {
      if (tag != kWakeTag) read_here(tag);
    }
    while (reading()) {
      const std::optional<Completion> completion = ring_.pop();
      if (!completion) {
        const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
        ::nanosleep(&pause, nullptr);  // the kernel posts completions on our way out of it
      } else if (completion->tag != kWakeTag &&
                 !digest(completion->tag, completion->answer)) {
        read_here(completion->tag);
      }
    }
    while (std::optional<ReadChunk> chunk = queue_.take_or_wait()) {
      Result<void> outcome = read_chunk(queue_, *chunk);
      queue_.finish(*chunk, std::move(outcome));
    }
  }

  Ring ring_;
  int wake_ = -1;
  std::vector<ReadChunk> chunks_;  // by user_data
  std::vector<size_t> idle_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Reader>> make_uring_reader(const ReaderOptions& options) {
  auto reader = std::make_unique<UringReader>(options);
  const Result<void> started = reader->start();
  if (!started) return fail(started.error());
  return reader;
}

}  // namespace gantry
