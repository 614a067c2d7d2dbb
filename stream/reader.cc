// Files opened for direct reads, and the choice between the two kinds of Reader.
#include "stream/reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "stream/read_queue.h"

namespace gantry {

namespace {

// Measured with bench/read: 16 MiB in flight saturate a disk of 3 GB/s when the processors are
// idle, 32 MiB also when they are busy; more gains nothing and makes an urgent read wait.
// Buffers registered with the ring would count against RLIMIT_MEMLOCK, 8 MiB for most users.
constexpr size_t kDepth = 8;
constexpr size_t kChunk = 4ull << 20;

FileStamp identity_from(const struct stat& status) {
  return {status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size),
          static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

constexpr int kCollapse = 25;  // MADV_COLLAPSE, which older headers lack

// Some file systems take the flag and refuse the reads.
bool direct_read_works(int fd) {
  alignas(kReadAlign) std::byte block[kReadAlign];
  ssize_t answer = 0;
  do {
    answer = ::pread(fd, block, sizeof block, 0);
  } while (answer < 0 && errno == EINTR);
  return answer >= 0 || errno != EINVAL;
}

}  // namespace

DirectFile::DirectFile(int fd, bool direct, const FileStamp& identity, std::string path)
    : fd_(fd), direct_(direct), identity_(identity), path_(std::move(path)) {}

DirectFile::DirectFile(DirectFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      direct_(other.direct_),
      identity_(other.identity_),
      path_(std::move(other.path_)) {}

DirectFile& DirectFile::operator=(DirectFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(direct_, other.direct_);
  std::swap(identity_, other.identity_);
  std::swap(path_, other.path_);
  return *this;
}

DirectFile::~DirectFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> DirectFile::unchanged() const {
  struct stat status{};
  if (::fstat(fd_, &status) != 0) return fail(os_error("cannot look at " + path_, errno));
  const FileStamp now = identity_from(status);
  if (now == identity_) return {};
  return fail(Code::kCorrupt,
              now.size == identity_.size
                  ? fmt::format("{} was written to while in use", path_)
                  : fmt::format("{} changed from {} to {} bytes while in use", path_,
                                identity_.size, now.size),
              "load the model again; replace model files by renaming, not in place");
}

Result<DirectFile> open_direct(const std::string& path) {
  const std::string doing = "cannot open " + path;
  struct stat status{};
  // Looked at before it is opened: to open a pipe would wait for its writer.
  if (::stat(path.c_str(), &status) != 0) return fail(os_error(doing, errno));
  if (!S_ISREG(status.st_mode)) {
    return fail(Code::kUnsupported, path + " is not a regular file", "give a model file");
  }
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd < 0 && errno != EINVAL && errno != ENOTSUP) return fail(os_error(doing, errno));
  const bool direct = fd >= 0 && direct_read_works(fd);
  if (!direct) {
    if (fd >= 0) ::close(fd);
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(os_error(doing, errno));
  }
  if (::fstat(fd, &status) != 0) {
    const Error error = os_error(doing, errno);
    ::close(fd);
    return fail(error);
  }
  return DirectFile(fd, direct, identity_from(status), path);
}

void prefer_huge_pages(std::byte* begin, size_t bytes) {
  // madvise wants whole pages; a partial one at either end is somebody else's as well.
  const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + kReadAlign - 1) & ~(kReadAlign - 1);
  const uintptr_t last = (reinterpret_cast<uintptr_t>(begin) + bytes) & ~(kReadAlign - 1);
  if (last <= first) return;
  void* pages = reinterpret_cast<void*>(first);
  ::madvise(pages, last - first, MADV_HUGEPAGE);
  ::madvise(pages, last - first, kCollapse);  // what was touched before; since Linux 6.1
}

Result<MadeReader> make_reader(const ReaderOptions& asked) {
  ReaderOptions options = asked;
  if (options.depth == 0) options.depth = kDepth;
  if (options.chunk_bytes == 0) options.chunk_bytes = kChunk;
  if (options.depth > kReadDepthMax || options.chunk_bytes > kReadChunkMax ||
      options.chunk_bytes % kReadAlign != 0 || options.requests == 0 ||
      options.requests > kReadRequestsMax) {
    return fail(Code::kUsage,
                fmt::format("a reader of {} chunks of {} bytes and {} requests", options.depth,
                            options.chunk_bytes, options.requests),
                fmt::format("at most {} chunks of {} bytes, a multiple of {}, and 1 to {} requests",
                            kReadDepthMax, kReadChunkMax, kReadAlign, kReadRequestsMax));
  }
  MadeReader made;
  if (options.kind != ReaderKind::kThreads) {
    Result<std::unique_ptr<Reader>> reader = make_uring_reader(options);
    if (reader) {
      made.reader = std::move(*reader);
      return made;
    }
    if (options.kind == ReaderKind::kUring) return fail(std::move(reader.error()));
    made.note = "reading with threads: " + reader.error().message;
  }
  Result<std::unique_ptr<Reader>> reader = make_threads_reader(options);
  if (!reader) return fail(std::move(reader.error()));
  made.reader = std::move(*reader);
  return made;
}

}  // namespace gantry
