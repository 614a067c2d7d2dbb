// Files that anybody may have put there: opened without following links, read to a limit, believed
// only of their owner.
#include "foreman/lease_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "base/rng.h"
#include "foreman/live.h"

namespace gantry {

namespace {

constexpr const char* kLockName = ".lock";
constexpr Millis kLockPoll{5};

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class HeldLock final : public FileLock {
 public:
  explicit HeldLock(Fd fd) : fd_(std::move(fd)) {}

 private:
  Fd fd_;
};

// At most one byte more than allowed, so that too large is seen.
std::string read_all(int fd) {
  std::string text(kLeaseFileMax.n + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return text;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

class RealFolder final : public LeaseFolder {
 public:
  RealFolder(Os& os, std::string path, std::string boot_id, std::string daemon)
      : os_(os),
        path_(std::move(path)),
        boot_id_(std::move(boot_id)),
        daemon_(std::move(daemon)),
        rng_(Rng::from_system()) {}
  ~RealFolder() override {
    for (const auto& [key, file] : own_) ::unlink(file.path.c_str());
  }

  std::vector<SharedLease> others() override {
    std::vector<SharedLease> found;
    for (const std::string& name : names()) {
      const std::string path = join_path(path_, name);
      std::optional<SharedLease> lease = read(path);
      if (lease && lease->uid == ::geteuid() && lease->daemon == daemon_) continue;
      if (lease) found.push_back(std::move(*lease));
    }
    return found;
  }

  Result<void> put(const SharedLease& lease) override {
    SharedLease whole = lease;
    whole.boot_id = boot_id_;
    whole.uid = ::geteuid();
    whole.daemon = daemon_;
    const std::string aside = join_path(path_, fmt::format(".{:016x}", rng_.next()));
    Fd fd(::open(aside.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (fd.get() < 0) return fail(os_error("cannot write into " + path_, errno));
    ::fchmod(fd.get(), 0644);  // others read it, whatever our umask
    // Held as long as this process lives: others see by it that the lease does.
    bool done = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 && write_all(fd.get(), lease_text(whole));
    auto& own = own_[{lease.token, lease.device}];
    if (own.path.empty()) {
      own.path = join_path(path_, fmt::format("{}-{}-{:016x}.json", whole.uid, daemon_,
                                              rng_.next()));
    }
    done = done && ::rename(aside.c_str(), own.path.c_str()) == 0;
    const int err = errno;
    if (!done) {
      ::unlink(aside.c_str());
      return fail(os_error("cannot write " + own.path, err));
    }
    own.fd = std::move(fd);
    return {};
  }

  void drop(int64_t token) override {
    std::erase_if(own_, [token](const auto& entry) {
      if (entry.first.first != token) return false;
      ::unlink(entry.second.path.c_str());
      return true;
    });
  }

  Result<std::unique_ptr<FileLock>> lock() override {
    const std::string path = join_path(path_, kLockName);
    Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd.get() < 0 && errno == ENOENT) {
      fd = Fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444));
      // Another one was quicker.
      if (fd.get() < 0) fd = Fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    }
    if (fd.get() < 0) return fail(os_error("cannot open " + path, errno));
    for (Millis waited{0}; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; waited += kLockPoll) {
      if (errno != EWOULDBLOCK && errno != EINTR) {
        return fail(os_error("cannot lock " + path, errno));
      }
      if (waited >= kLeaseLockMax) return fail(Code::kBusy, path + " is locked by somebody");
      os_.sleep(kLockPoll);
    }
    return std::make_unique<HeldLock>(std::move(fd));
  }

  void clean() override {
    for (const std::string& name : names()) {
      const std::string path = join_path(path_, name);
      const bool told = std::ranges::any_of(
          own_, [&](const auto& entry) { return entry.second.path == path; });
      const bool ours = name.starts_with(fmt::format("{}-{}-", ::geteuid(), daemon_));
      if (ours && !told) ::unlink(path.c_str());
    }
  }

 private:
  struct Own {
    std::string path;
    Fd fd{-1};
  };

  // Of leases: others write aside under names that begin with a dot.
  std::vector<std::string> names() {
    std::vector<std::string> all = os_.list(path_).value_or(std::vector<std::string>{});
    std::erase_if(all, [](const std::string& name) {
      return name.starts_with('.') || !name.ends_with(".json");
    });
    if (all.size() > kLeaseFilesMax) all.resize(kLeaseFilesMax);
    return all;
  }

  // Nothing where it is no lease, or its holder is gone.
  std::optional<SharedLease> read(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info{};
    if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    Result<SharedLease> lease = parse_lease(read_all(fd.get()));
    if (!lease || lease->uid != info.st_uid) return {};
    const bool locked = ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    // A dead one that nobody has asked for yet still has its start time, but no memory.
    const bool alive = lease->boot_id == boot_id_ && lease->start_ticks > 0 &&
                       os_.start_time(lease->pid).value_or(0) == lease->start_ticks &&
                       resident_bytes(os_, lease->pid) > Bytes{};
    if (locked || alive) return std::move(*lease);
    if (info.st_uid == ::geteuid()) ::unlink(path.c_str());  // a crash left it
    return {};
  }

  Os& os_;
  const std::string path_, boot_id_, daemon_;
  Rng rng_;
  std::map<std::pair<int64_t, std::string>, Own> own_;
};

}  // namespace

Result<std::unique_ptr<LeaseFolder>> open_lease_folder(Os& os, const std::string& path,
                                                       const std::string& boot_id,
                                                       const std::string& daemon) {
  if (::mkdir(path.c_str(), 0777) == 0) ::chmod(path.c_str(), 01777);
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return fail(os_error("cannot find " + path, errno));
  const bool shared = (info.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (!S_ISDIR(info.st_mode) || (shared && (info.st_mode & S_ISVTX) == 0)) {
    return fail(Code::kUsage, path + " is no folder for the leases of several users",
                "it must be a folder with the sticky bit: chmod 1777 " + path);
  }
  return std::make_unique<RealFolder>(os, path, boot_id, daemon);
}

}  // namespace gantry
