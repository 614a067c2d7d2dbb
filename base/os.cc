// The real operating system (Linux).
#include "base/os.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/process.h"

namespace gantry {

namespace {

class OpenFile {
 public:
  OpenFile(const std::string& path, int flags, mode_t mode = 0)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~OpenFile() { close(); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int fd() const { return fd_; }
  bool close() {
    const bool ok = fd_ < 0 || ::close(fd_) == 0;
    fd_ = -1;
    return ok;
  }

 private:
  int fd_;
};

// The names in a folder are on the disk when this returns.
Result<void> sync_folder(const std::string& path) {
  OpenFile dir(path, O_RDONLY | O_DIRECTORY);
  if (dir.fd() < 0 || ::fsync(dir.fd()) != 0) {
    return fail(os_error("cannot sync the folder " + path, errno));
  }
  return {};
}

class RealMapping final : public MappedFile {
 public:
  RealMapping(const std::byte* data, size_t size) : data_(data), size_(size) {}
  ~RealMapping() override {
    if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
  }
  std::span<const std::byte> bytes() const override { return {data_, size_}; }

 private:
  const std::byte* data_;
  size_t size_;
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// A number of /proc/PID/stat by its place in proc(5). The second field, the command's name, may
// hold anything, so they are counted from the last ')'.
std::optional<uint64_t> stat_field(const std::string& text, int place) {
  size_t at = text.rfind(')');
  for (int field = 2; field < place && at != std::string::npos; ++field) {
    at = text.find(' ', at + 1);
  }
  uint64_t value = 0;
  if (at == std::string::npos) return std::nullopt;
  const auto [end, error] =
      std::from_chars(text.data() + at + 1, text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

class RealLock final : public FileLock {
 public:
  explicit RealLock(int fd) : fd_(fd) {}
  ~RealLock() override { ::close(fd_); }

 private:
  int fd_;
};

class RealOs final : public Os {
 public:
  // A peer that closed its end is an error value of write(2), never a signal.
  RealOs() { ::signal(SIGPIPE, SIG_IGN); }

  Result<std::string> read_file(const std::string& path, Bytes max) override {
    OpenFile file(path, O_RDONLY);
    if (file.fd() < 0) return fail(os_error("cannot open " + path, errno));
    std::string out;
    std::array<char, 65536> chunk{};
    for (;;) {
      const ssize_t n = ::read(file.fd(), chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(os_error("cannot read " + path, errno));
      if (n == 0) return out;
      out.append(chunk.data(), static_cast<size_t>(n));
      if (out.size() > max.n) {
        return fail(Code::kTooLarge, fmt::format("{} is larger than {}", path, format_bytes(max)));
      }
    }
  }

  Result<std::unique_ptr<MappedFile>> map_file(const std::string& path) override {
    OpenFile file(path, O_RDONLY);
    if (file.fd() < 0) return fail(os_error("cannot open " + path, errno));
    struct stat st{};
    if (::fstat(file.fd(), &st) != 0) return fail(os_error("cannot read " + path, errno));
    if (!S_ISREG(st.st_mode)) return fail(Code::kUsage, path + " is not a regular file");
    const auto size = static_cast<size_t>(st.st_size);
    if (size == 0) return std::make_unique<RealMapping>(nullptr, 0);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
    if (data == MAP_FAILED) return fail(os_error("cannot map " + path, errno));
    return std::make_unique<RealMapping>(static_cast<const std::byte*>(data), size);
  }

  Result<void> read_pieces(const std::string& path,
                           const std::function<void(std::string_view)>& on_piece) override {
    OpenFile file(path, O_RDONLY);
    if (file.fd() < 0) return fail(os_error("cannot open " + path, errno));
    std::vector<char> chunk(1 << 20);
    for (;;) {
      const ssize_t n = ::read(file.fd(), chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(os_error("cannot read " + path, errno));
      if (n == 0) return {};
      on_piece({chunk.data(), static_cast<size_t>(n)});
    }
  }

  Result<FileInfo> stat(const std::string& path) override {
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) return fail(os_error("cannot find " + path, errno));
    FileInfo info;
    info.size = {static_cast<uint64_t>(st.st_size)};
    info.mode = st.st_mode & 07777;
    info.is_dir = S_ISDIR(st.st_mode);
    info.mtime_ns = int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec;
    info.inode = st.st_ino;
    return info;
  }

  Result<std::vector<std::string>> list(const std::string& dir) override {
    std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(dir.c_str()), ::closedir);
    if (!open) return fail(os_error("cannot list " + dir, errno));
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(open.get())) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
  }

  Result<void> write_file(const std::string& path, std::string_view bytes,
                          uint32_t mode) override {
    const std::string aside = fmt::format("{}/.{}.{}.tmp", dir_name(path), base_name(path),
                                          ::getpid());
    ::unlink(aside.c_str());
    OpenFile file(aside, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (file.fd() < 0) return fail(os_error("cannot write " + path, errno));
    if (!write_all(file.fd(), bytes) || ::fsync(file.fd()) != 0 || !file.close() ||
        ::rename(aside.c_str(), path.c_str()) != 0) {
      const int err = errno;
      ::unlink(aside.c_str());
      return fail(os_error("cannot write " + path, err));
    }
    return sync_folder(dir_name(path));
  }

  Result<void> copy_file(const std::string& from, const std::string& to) override {
    OpenFile in(from, O_RDONLY, 0);
    if (in.fd() < 0) return fail(os_error("cannot read " + from, errno));
    const std::string aside = fmt::format("{}/.{}.{}.tmp", dir_name(to), base_name(to), ::getpid());
    ::unlink(aside.c_str());
    OpenFile out(aside, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (out.fd() < 0) return fail(os_error("cannot write " + to, errno));
    std::vector<char> chunk(1 << 20);
    ssize_t n = 0;
    bool good = true;
    const bool shared = ::ioctl(out.fd(), FICLONE, in.fd()) == 0;
    while (!shared && good && (n = ::read(in.fd(), chunk.data(), chunk.size())) != 0) {
      if (n < 0 && errno == EINTR) continue;
      good = n > 0 && write_all(out.fd(), {chunk.data(), static_cast<size_t>(n)});
    }
    if (!good || ::fsync(out.fd()) != 0 || !out.close() ||
        ::rename(aside.c_str(), to.c_str()) != 0) {
      const int err = errno;
      ::unlink(aside.c_str());
      return fail(os_error(fmt::format("cannot copy {} to {}", from, to), err));
    }
    return sync_folder(dir_name(to));
  }

  Result<void> link_file(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) == 0 || errno == EEXIST) return sync_folder(dir_name(to));
    // Another file system, one without links, or one that has given this file too many names.
    if (errno == EXDEV || errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK) {
      return copy_file(from, to);
    }
    return fail(os_error(fmt::format("cannot link {} to {}", from, to), errno));
  }

  Result<void> move_file(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return fail(os_error(fmt::format("cannot move {} to {}", from, to), errno));
    }
    if (Result<void> gone = sync_folder(dir_name(from)); !gone) return gone;
    return sync_folder(dir_name(to));
  }

  Result<void> make_dirs(const std::string& path, uint32_t mode) override {
    if (path.empty() || path == "/" || path == ".") return {};
    if (Result<FileInfo> there = stat(path); there && there->is_dir) {
      // Whoever made it, or names in it, may have been killed before the sync. A folder that we
      // may not read is not ours to sync.
      for (const std::string& folder : {dir_name(path), path}) {
        Result<void> kept = sync_folder(folder);
        if (!kept && kept.error().code != Code::kPermission) return kept;
      }
      return {};
    }
    return make_missing(path, mode);
  }

  Result<void> remove(const std::string& path) override {
    std::error_code ec;
    std::filesystem::remove_all(path, ec);
    if (ec) return fail(os_error("cannot remove " + path, ec.value()));
    return {};
  }

  Result<Bytes> free_space(const std::string& path) override {
    struct statvfs st{};
    if (::statvfs(path.c_str(), &st) != 0) return fail(os_error("cannot look at " + path, errno));
    return Bytes{uint64_t{st.f_bavail} * st.f_frsize};
  }

  Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) override {
    return spawner_.spawn(spec);
  }

  Result<Bytes> pss(int pid) override {
    Result<std::string> text = read_file(fmt::format("/proc/{}/smaps_rollup", pid), MiB(1));
    if (!text) return fail(text.error());
    const size_t at = text->find("\nPss:");
    uint64_t kib = 0;
    if (at != std::string::npos) {
      const size_t digits = text->find_first_of("0123456789", at);
      if (digits != std::string::npos) {
        std::from_chars(text->data() + digits, text->data() + text->size(), kib);
      }
    }
    if (kib == 0) return fail(Code::kNotFound, fmt::format("process {} is gone", pid));
    return KiB(kib);
  }

  Result<uint64_t> start_time(int pid) override {
    Result<std::string> text = read_file(fmt::format("/proc/{}/stat", pid), MiB(1));
    if (!text) return fail(text.error());
    const std::optional<uint64_t> ticks = stat_field(*text, 22);
    if (!ticks) return fail(Code::kIo, fmt::format("cannot read the start time of {}", pid));
    return *ticks;
  }

  void kill_group(int pid, uint64_t start_ticks, int signal) override {
    // Never 0, 1 or negative: to kill(2) those mean groups, init or everybody.
    if (pid <= 1) return;
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) return;  // gone
    // Looked at after the handle was taken: from here on it is this process or none.
    if (start_time(pid).value_or(0) == start_ticks) {
      ::kill(-pid, signal);
      // A leader has it from there, and SIGTERM once; who leads no group has it from here.
      if (signal == SIGKILL || ::getpgid(pid) != pid) {
        ::syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0);
      }
    }
    ::close(fd);
  }

  Result<Millis> cpu_time(int pid) override {
    const long per_second = ::sysconf(_SC_CLK_TCK);
    Result<std::vector<std::string>> all = list("/proc");
    if (!all) return fail(all.error());
    uint64_t ticks = 0;
    bool found = false;
    for (const std::string& name : *all) {
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const Result<std::string> text = read_file(fmt::format("/proc/{}/stat", name), MiB(1));
      if (!text || stat_field(*text, 5) != static_cast<uint64_t>(pid)) continue;
      found = true;
      ticks += stat_field(*text, 14).value_or(0) + stat_field(*text, 15).value_or(0);
    }
    if (!found) return fail(Code::kNotFound, fmt::format("process {} is gone", pid));
    return Millis(ticks * 1000 / static_cast<uint64_t>(std::max(1L, per_second)));
  }
  void sleep(Millis duration) override { std::this_thread::sleep_for(duration); }

  std::optional<std::string> env(const std::string& name) override {
    const char* value = ::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  }

  std::string self_exe() override {
    std::error_code ec;
    return std::filesystem::read_symlink("/proc/self/exe", ec).string();
  }

 private:
  Result<void> make_missing(const std::string& path, uint32_t mode) {
    if (path.empty() || path == "/" || path == ".") return {};
    if (Result<FileInfo> there = stat(path); there) {
      if (there->is_dir) return {};
      return fail(Code::kUsage, path + " is there, but is not a folder", "choose another path");
    }
    if (Result<void> parent = make_missing(dir_name(path), mode); !parent) return parent;
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
      return fail(os_error("cannot make the folder " + path, errno));
    }
    return sync_folder(dir_name(path));
  }

  Spawner spawner_;
};

}  // namespace

Result<std::unique_ptr<FileLock>> lock_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(os_error("cannot open the lock " + path, errno));
  auto lock = std::make_unique<RealLock>(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return fail(Code::kBusy, path + " is held by another process");
  }
  return lock;
}

std::unique_ptr<Os> make_real_os() { return std::make_unique<RealOs>(); }

}  // namespace gantry
