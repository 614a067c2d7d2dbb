// The file: an unnamed one that is linked into place (O_TMPFILE), or a named one aside.
#include "model/synth_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/os.h"

namespace gantry {

namespace {

constexpr std::chrono::milliseconds kProgressEvery{250};

// The file being written. Closed, and gone unless it was kept, when this goes.
class Aside {
 public:
  explicit Aside(std::string path)
      : path_(std::move(path)), name_(fmt::format("{}.{}.part", path_, ::getpid())) {}
  ~Aside() {
    if (fd_ >= 0) ::close(fd_);
    if (named_) ::unlink(name_.c_str());
  }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  [[nodiscard]] Result<void> open() {
    std::string dir = dir_name(path_);
    if (dir.empty()) dir = ".";
    if (::access("/proc/self/fd", X_OK) == 0) {
      fd_ = ::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    }
    if (fd_ < 0) {
      fd_ = ::open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
      named_ = fd_ >= 0;
    }
    if (fd_ < 0) return fail(os_error("cannot write " + path_, errno));
    return {};
  }

  // Takes the room on disk at once where the file system can, so that a full disk shows early.
  [[nodiscard]] Result<void> reserve(uint64_t bytes, bool sparse) {
    const auto size = static_cast<off_t>(bytes);
    if (!sparse && ::fallocate(fd_, 0, 0, size) == 0) return {};
    if (!sparse && errno != EOPNOTSUPP && errno != ENOSYS) {
      return fail(os_error("cannot write " + path_, errno));
    }
    if (::ftruncate(fd_, size) != 0) return fail(os_error("cannot write " + path_, errno));
    return {};
  }

  [[nodiscard]] Result<void> write(const std::byte* data, uint64_t bytes, uint64_t at) const {
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t n = ::pwrite(fd_, data + done, bytes - done, static_cast<off_t>(at + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(os_error("cannot write " + path_, errno));
      done += static_cast<uint64_t>(n);
    }
    // Starts the disk on these pages; the sync at the end then has little left to do.
    ::sync_file_range(fd_, static_cast<off_t>(at), static_cast<off_t>(bytes),
                      SYNC_FILE_RANGE_WRITE);
    return {};
  }

  [[nodiscard]] Result<void> keep() {
    if (::fsync(fd_) != 0) return fail(os_error("cannot write " + path_, errno));
    if (!named_) {
      const std::string open_file = fmt::format("/proc/self/fd/{}", fd_);
      if (::linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, name_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
        return fail(os_error("cannot write " + path_, errno));
      }
      named_ = true;
    }
    if (::rename(name_.c_str(), path_.c_str()) != 0) {
      return fail(os_error("cannot write " + path_, errno));
    }
    named_ = false;
    return {};
  }

 private:
  std::string path_, name_;
  int fd_ = -1;
  bool named_ = false;
};

// Hands out pieces to the writing threads, and keeps the first error.
class Work {
 public:
  Work(const SynthModel& model, const std::atomic<bool>* cancel)
      : model_(model), cancel_(cancel) {}

  struct Task {
    const SynthTensor* tensor = nullptr;
    uint64_t piece = 0;
  };
  std::optional<Task> next() {
    const std::scoped_lock lock(mutex_);
    if (cancel_ != nullptr && *cancel_) {
      stop({Code::kCancelled, "interrupted", {}});
    }
    while (!error_ && tensor_ < model_.tensors.size()) {
      const SynthTensor& tensor = model_.tensors[tensor_];
      if (piece_ < synth_pieces(tensor)) return Task{&tensor, piece_++};
      ++tensor_;
      piece_ = 0;
    }
    return std::nullopt;
  }
  void wrote(uint64_t bytes) { done_ += bytes; }
  void broke(Error error) {
    const std::scoped_lock lock(mutex_);
    stop(std::move(error));
  }
  void leave() {
    const std::scoped_lock lock(mutex_);
    ++left_;
    changed_.notify_all();
  }
  // True once `threads` have left; false when the time ran out first.
  bool wait(uint32_t threads) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kProgressEvery, [&] { return left_ == threads; });
  }
  uint64_t done() const { return done_; }
  const std::optional<Error>& error() const { return error_; }  // once all have left

 private:
  void stop(Error error) {
    if (!error_) error_ = std::move(error);
  }

  const SynthModel& model_;
  const std::atomic<bool>* cancel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t tensor_ = 0;
  uint64_t piece_ = 0;
  uint32_t left_ = 0;
  std::optional<Error> error_;
  std::atomic<uint64_t> done_{0};
};

void write_pieces(const SynthModel& model, const Aside& file, Work* work) {
  std::vector<std::byte> buffer(kSynthPieceBytes);
  while (const std::optional<Work::Task> task = work->next()) {
    const SynthPiece piece = synth_piece(*task->tensor, task->piece);
    synth_fill(*task->tensor, model.seed, task->piece, {buffer.data(), piece.bytes});
    if (Result<void> done = file.write(buffer.data(), piece.bytes, piece.offset); !done) {
      work->broke(done.error());
    }
    work->wrote(piece.bytes);
  }
  work->leave();
}

Result<void> check_target(const std::string& path, uint64_t bytes) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return fail(Code::kUsage, path + " is not a file", "name a file to write");
  }
  std::string dir = dir_name(path);
  if (dir.empty()) dir = ".";
  struct statvfs disk {};
  if (::statvfs(dir.c_str(), &disk) != 0) return fail(os_error("cannot write " + path, errno));
  const Bytes room{uint64_t{disk.f_bavail} * disk.f_frsize};
  if (bytes > room.n) {
    return fail(Code::kDiskFull,
                fmt::format("{} would take {}, {} has {}", path, format_bytes({bytes}), dir,
                            format_bytes(room)),
                "free some space, or choose a smaller shape or quant");
  }
  return {};
}

}  // namespace

Result<void> write_synth(const SynthModel& model, const std::string& path,
                         const SynthWriting& how) {
  const uint64_t written = how.sparse ? model.head.size() : model.bytes;
  if (Result<void> done = check_target(path, written); !done) return done;
  Aside file(path);
  if (Result<void> done = file.open(); !done) return done;
  if (Result<void> done = file.reserve(model.bytes, how.sparse); !done) return done;
  Result<void> started = file.write(reinterpret_cast<const std::byte*>(model.head.data()),
                                    model.head.size(), 0);
  if (!started) return started;
  if (how.sparse) return file.keep();
  Work work(model, how.cancel);
  const uint32_t threads = std::max(1U, how.threads);
  std::vector<std::jthread> writers;
  for (uint32_t i = 0; i < threads; ++i) {
    writers.emplace_back([&] { write_pieces(model, file, &work); });
  }
  while (!work.wait(threads)) {
    if (how.progress) how.progress(work.done(), model.bytes);
  }
  writers.clear();
  if (work.error()) return fail(*work.error());
  return file.keep();
}

}  // namespace gantry
