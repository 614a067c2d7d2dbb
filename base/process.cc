// fork and exec with everything prepared before the fork: the child makes system calls only.
#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gantry {

namespace {

// A file descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return fail(os_error("cannot make a pipe", errno));
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Everything the child needs, as plain memory: after fork it may not allocate.
struct Prepared {
  std::string program;
  std::vector<char*> argv, envp;
  std::vector<std::string> env_texts;
  const char* cwd = nullptr;
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1, report_fd = -1, gate_fd = -1;
  bool detached = false, batch = false, pinned = false, idle_io = false;
  int niceness = 0;
  std::array<char, 8> oom_score{};  // as text; empty: as the parent's
  cpu_set_t cpus{};
  pid_t parent = 0;
};

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = ::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    const std::string candidate = join_path(rest.substr(0, colon), name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return fail(Code::kNotFound, fmt::format("the program {} is not installed", name),
              fmt::format("install {} or put it on PATH", name));
}

// What a program needs to run at all, and what chooses devices for the engines' drivers.
bool is_basic_variable(std::string_view name) {
  constexpr std::string_view kBasic[] = {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"};
  constexpr std::string_view kPrefixes[] = {"LC_", "CUDA_", "HIP_", "HSA_", "ROCR_", "VK_"};
  return std::ranges::find(kBasic, name) != std::end(kBasic) ||
         std::ranges::any_of(kPrefixes, [name](auto prefix) { return name.starts_with(prefix); });
}

void prepare_env(const ProcessSpec& spec, Prepared* out) {
  const auto overridden = [&spec](std::string_view name) {
    return std::ranges::any_of(spec.env, [name](const auto& pair) { return pair.first == name; });
  };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (overridden(name) || (!spec.detached && is_secret_variable(name))) continue;
    if (spec.bare_env && !is_basic_variable(name)) continue;
    out->env_texts.emplace_back(text);
  }
  for (const auto& [name, value] : spec.env) out->env_texts.push_back(name + "=" + value);
  for (std::string& text : out->env_texts) out->envp.push_back(text.data());
  out->envp.push_back(nullptr);
}

[[noreturn]] void child_fails(const Prepared& p) {
  const int err = errno;
  [[maybe_unused]] const ssize_t sent = ::write(p.report_fd, &err, sizeof err);
  ::_exit(127);
}

// Waits with nothing of the parent's in hand: neither its locks nor other children's pipes. A
// parent that ends, or does not want this child, closes the gate.
void wait_at_gate(const Prepared& p) {
  const auto low = static_cast<unsigned>(std::min(p.report_fd, p.gate_fd));
  const auto high = static_cast<unsigned>(std::max(p.report_fd, p.gate_fd));
  if (low > 3) ::close_range(3, low - 1, 0);
  if (high > low + 1) ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);
  char open = 0;
  ssize_t n = 0;
  do {
    n = ::read(p.gate_fd, &open, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) ::_exit(127);
}

// Runs in the child between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const Prepared& p) {
  if (p.detached) {
    ::setsid();
  } else {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != p.parent) ::_exit(127);  // the parent died before prctl
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGQUIT}) {
    ::signal(signal, SIG_DFL);
  }
  if (p.niceness != 0) ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + p.niceness);
  if (p.batch) {
    const sched_param param{};
    ::sched_setscheduler(0, SCHED_BATCH, &param);
  }
  if (p.idle_io) {
    // ioprio_set(2): this process, the last of the best-effort class. libc has no names for it.
    constexpr int kWhoProcess = 1, kBestEffort = 2, kClassShift = 13, kLast = 7;
    ::syscall(SYS_ioprio_set, kWhoProcess, 0, kBestEffort << kClassShift | kLast);
  }
  if (p.oom_score[0] != 0) {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
      [[maybe_unused]] const ssize_t set =
          ::write(fd, p.oom_score.data(), ::strlen(p.oom_score.data()));
      ::close(fd);
    }
  }
  if (p.pinned) ::sched_setaffinity(0, sizeof p.cpus, &p.cpus);
  if (p.cwd != nullptr && ::chdir(p.cwd) != 0) child_fails(p);
  if (::dup2(p.stdin_fd, 0) < 0 || ::dup2(p.stdout_fd, 1) < 0 || ::dup2(p.stderr_fd, 2) < 0) {
    child_fails(p);
  }
  if (p.gate_fd >= 0) wait_at_gate(p);
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execve(p.program.c_str(), p.argv.data(), p.envp.data());
  child_fails(p);
}

class RealProcess final : public Process {
 public:
  RealProcess(pid_t pid, bool detached, Fd to_child, Fd from_child)
      : pid_(pid),
        detached_(detached),
        pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
        to_child_(std::move(to_child)),
        from_child_(std::move(from_child)) {}

  ~RealProcess() override {
    if (detached_ || exit_) return;
    signal_group(SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }

  int pid() const override { return pid_; }

  void signal_group(int signal) override {
    const std::lock_guard lock(mutex_);
    if (!exit_) ::kill(-pid_, signal);
  }

  std::optional<Exit> wait(Millis timeout) override {
    if (exit_) return exit_;
    pollfd watch{pidfd_.get(), POLLIN, 0};
    ::poll(&watch, 1, static_cast<int>(std::min<int64_t>(timeout.count(), 1 << 30)));
    siginfo_t ended{};
    constexpr int kLook = WEXITED | WNOHANG | WNOWAIT;
    const auto id = static_cast<id_t>(pid_);
    if (::waitid(P_PID, id, &ended, kLook) != 0 || ended.si_pid != pid_) return std::nullopt;
    const std::lock_guard lock(mutex_);
    // What is left of the group ends with its leader, and while the leader is not reaped yet: after
    // that its number may be somebody else's.
    if (!detached_) ::kill(-pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    exit_ = WIFSIGNALED(status) ? Exit{0, WTERMSIG(status)} : Exit{WEXITSTATUS(status), 0};
    return exit_;
  }

  Result<void> write_line(std::string_view line) override {
    std::string text(line);
    text += '\n';
    std::string_view rest = text;
    while (!rest.empty()) {
      const ssize_t n = ::write(to_child_.get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Code::kWorkerFailed, "the worker no longer takes requests");
      rest.remove_prefix(static_cast<size_t>(n));
    }
    return {};
  }

  Result<std::string> read_line(Millis timeout, Bytes max) override {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      const size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      if (buffer_.size() > max.n) return fail(Code::kTooLarge, "the worker's line is too long");
      const auto left = std::chrono::ceil<Millis>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return fail(Code::kTimeout, "the worker did not answer in time");
      pollfd watch{from_child_.get(), POLLIN, 0};
      if (::poll(&watch, 1, static_cast<int>(left.count())) <= 0) continue;
      std::array<char, 4096> chunk{};
      const ssize_t n = ::read(from_child_.get(), chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return fail(Code::kWorkerFailed, "the worker closed its output");
      buffer_.append(chunk.data(), static_cast<size_t>(n));
    }
  }

 private:
  const pid_t pid_;
  const bool detached_;
  Fd pidfd_, to_child_, from_child_;
  std::mutex mutex_;  // exit_ against signal_group
  std::optional<Exit> exit_;
  std::string buffer_;
};

struct Streams {
  Fd null, log;
  Pipe in, out, report, gate;
};

Result<Streams> open_streams(const ProcessSpec& spec) {
  Streams s;
  s.null = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (s.null.get() < 0) return fail(os_error("cannot open /dev/null", errno));
  if (!spec.output_file.empty()) {
    s.log = Fd(::open(spec.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (s.log.get() < 0) return fail(os_error("cannot write " + spec.output_file, errno));
  }
  for (Pipe* pipe : {&s.in, &s.out, &s.report, &s.gate}) {
    if ((pipe == &s.in || pipe == &s.out) && !spec.pipe_io) continue;
    if (pipe == &s.gate && !spec.gate) continue;
    Result<Pipe> made = make_pipe();
    if (!made) return fail(made.error());
    *pipe = std::move(*made);
  }
  return s;
}

// The parent's own plus this; the kernel's range ends at 1000.
void write_oom_score(int added, Prepared* out) {
  constexpr int kMost = 1000;
  std::array<char, 8> own{};
  const Fd fd(::open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0 || ::read(fd.get(), own.data(), own.size() - 1) <= 0) return;
  const int score = std::clamp(std::atoi(own.data()) + added, -kMost, kMost);
  fmt::format_to_n(out->oom_score.data(), out->oom_score.size() - 1, "{}", score);
}

// A child before its program has begun.
struct Forked {
  std::unique_ptr<RealProcess> process;
  Fd report, gate;
};

Result<Forked> start(const ProcessSpec& spec) {
  if (spec.argv.empty()) return fail(Code::kInternal, "a process needs a program");
  Prepared p;
  Result<std::string> program = find_program(spec.argv[0]);
  if (!program) return fail(program.error());
  p.program = *program;
  std::vector<std::string> argv = spec.argv;
  for (std::string& arg : argv) p.argv.push_back(arg.data());
  p.argv.push_back(nullptr);
  prepare_env(spec, &p);
  Result<Streams> streams = open_streams(spec);
  if (!streams) return fail(streams.error());
  const int quiet = streams->log.get() >= 0 ? streams->log.get() : streams->null.get();
  p.stdin_fd = spec.pipe_io ? streams->in.read.get() : streams->null.get();
  p.stdout_fd = spec.pipe_io ? streams->out.write.get() : quiet;
  p.stderr_fd = quiet;
  p.report_fd = streams->report.write.get();
  p.gate_fd = streams->gate.read.get();
  p.cwd = spec.cwd.empty() ? nullptr : spec.cwd.c_str();
  p.detached = spec.detached;
  p.batch = spec.batch;
  p.niceness = spec.niceness;
  p.idle_io = spec.idle_io;
  if (spec.oom_score != 0) write_oom_score(spec.oom_score, &p);
  p.pinned = !spec.cpus.empty();
  for (int cpu : spec.cpus) CPU_SET(static_cast<size_t>(cpu), &p.cpus);
  p.parent = ::getpid();

  const pid_t pid = ::fork();
  if (pid < 0) return fail(os_error("cannot start " + spec.argv[0], errno));
  if (pid == 0) become(p);
  if (!spec.detached) ::setpgid(pid, pid);  // both sides set it: no window without a group
  return Forked{std::make_unique<RealProcess>(pid, spec.detached, std::move(streams->in.write),
                                              std::move(streams->out.read)),
                std::move(streams->report.read), std::move(streams->gate.write)};
}

// Through the gate, until its program runs or cannot.
Result<std::unique_ptr<Process>> let_go(const ProcessSpec& spec, Forked forked) {
  if (spec.gate) {
    if (Result<void> may = spec.gate(forked.process->pid()); !may) return fail(may.error());
    // Where nobody reads it, the child has ended: its exit says how.
    [[maybe_unused]] const ssize_t sent = ::write(forked.gate.get(), "1", 1);
    forked.gate.reset();
  }
  int err = 0;
  if (::read(forked.report.get(), &err, sizeof err) == sizeof err) {
    forked.process->wait(Millis(1000));
    return fail(os_error("cannot start " + spec.argv[0], err));
  }
  return std::move(forked.process);
}

}  // namespace

struct Spawner::Order {
  const ProcessSpec& spec;
  std::optional<Result<Forked>> answer;
};

Spawner::Spawner() : thread_([this] { run(); }) {}

Spawner::~Spawner() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<std::unique_ptr<Process>> Spawner::spawn(const ProcessSpec& spec) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return order_ == nullptr; });
  Order order{spec, std::nullopt};
  order_ = &order;
  changed_.notify_all();
  changed_.wait(lock, [&order] { return order.answer.has_value(); });
  order_ = nullptr;
  changed_.notify_all();
  lock.unlock();
  if (!*order.answer) return fail(order.answer->error());
  return let_go(spec, std::move(**order.answer));
}

void Spawner::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || (order_ != nullptr && !order_->answer); });
    if (ending_) return;
    order_->answer = start(order_->spec);
    changed_.notify_all();
  }
}

bool is_secret_variable(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](char c) {
    return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  });
  for (std::string_view word : {"KEY", "TOKEN", "SECRET", "PASSWORD"}) {
    if (upper.find(word) != std::string::npos) return true;
  }
  return false;
}

std::string Exit::text() const {
  if (signal != 0) return fmt::format("killed by signal {} ({})", signal, strsignal(signal));
  return fmt::format("exit status {}", status);
}

}  // namespace gantry
