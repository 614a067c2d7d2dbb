// Forking, waiting, reading.
#include "lab/faults/lives.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>

#include "base/out_of_memory.h"

namespace gantry::faults {

namespace {

constexpr int kThrown = 12;  // an exception that nobody took

// One line to the parent; a pipe keeps it when we are killed right after. The journal learns first
// what was said: nobody hears of anything that it does not hold.
void say(int fd, const std::string& line) {
  const std::string whole = line + "\n";
  fault_note(whole.data(), whole.size());
  if (::write(fd, whole.data(), whole.size()) < 0) ::_exit(3);
}

[[noreturn]] void child_life(Scenario scenario, const std::string& dir, FaultControl* control,
                             int fd, LifeOptions options) {
  exit_when_out_of_memory();  // as gantryd does
  if (control != nullptr && control->fail_group == kGroupAllocate) {
    ::close(STDERR_FILENO);  // its words would come thousands of times
    if (::open("/dev/null", O_WRONLY) != STDERR_FILENO) ::_exit(3);
  }
  options.on_begin = [control] { fault_attach(control); };
  try {
    ::_exit(play(scenario, dir, [fd](const std::string& line) { say(fd, line); }, options));
  } catch (const std::exception& e) {
    say(fd, std::string("error thrown: ") + e.what());
    ::_exit(kThrown);
  }
}

// What comes until the other end closes; false: the time ran out first.
bool read_until_closed(int fd, int limit_s, std::string& text) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(limit_s);
  std::string chunk(4096, '\0');
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd watch{fd, POLLIN, 0};
    if (::poll(&watch, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n <= 0) return true;
    text.append(chunk.data(), static_cast<size_t>(n));
  }
}

}  // namespace

Folder::Folder() {
  for (const std::string& base : {std::string("/dev/shm/"), testing::TempDir()}) {
    std::string path = base + "gantry-faults-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) continue;
    path_ = path;
    return;
  }
}

Folder::~Folder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Control::Control(size_t journal_bytes) : journal_bytes_(journal_bytes) {
  static_assert(sizeof(FaultControl) <= kFaultJournalAt);
  void* at = ::mmap(nullptr, kFaultJournalAt + journal_bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  EXPECT_NE(at, MAP_FAILED);
  block_ = static_cast<FaultControl*>(at);
}

Control::~Control() { ::munmap(block_, kFaultJournalAt + journal_bytes_); }

const char* Control::journal() const {
  return reinterpret_cast<const char*>(block_) + kFaultJournalAt;
}

void Control::clear(const std::string& root) {
  std::memset(block_, 0, sizeof(FaultControl));
  block_->journal_max = journal_bytes_;
  root.copy(block_->root, kFaultRootMax - 1);
}

std::string Ending::text() const {
  if (late) return "did not end in time";
  return status >= 0 ? fmt::format("exit status {}", status) : fmt::format("signal {}", signal);
}

Ending live(Scenario scenario, const std::string& dir, FaultControl* control, History& history,
            const LifeOptions& options, int limit_s) {
  Ending ending;
  int fds[2] = {-1, -1};
  if (::pipe(fds) != 0) return ending;
  history.new_life();
  const pid_t child = ::fork();
  if (child < 0) return ending;
  if (child == 0) {
    ::close(fds[0]);
    child_life(scenario, dir, control, fds[1], options);
  }
  ::close(fds[1]);
  std::string text;
  ending.late = !read_until_closed(fds[0], limit_s, text);
  if (ending.late) ::kill(child, SIGKILL);
  ::close(fds[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) ending.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  history.read_all(text);
  return ending;
}

uint64_t run_seed() {
  const char* given = ::getenv("GANTRY_TEST_SEED");
  const uint64_t seed =
      given == nullptr ? Rng::from_system().next() % 1'000'000 : std::strtoull(given, nullptr, 10);
  GTEST_LOG_(INFO) << "seed " << seed << " (GANTRY_TEST_SEED)";
  return seed;
}

bool full_run() { return ::getenv("GANTRY_TEST_FULL") != nullptr; }

}  // namespace gantry::faults
