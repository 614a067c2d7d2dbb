// Processes: started clean, talked to by lines, gone for certain.
#include "base/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

namespace gantry {
namespace {

bool gone(int pid) { return ::kill(pid, 0) != 0; }

TEST(Process, ReportsExitAndSignal) {
  const std::unique_ptr<Os> os = make_real_os();
  auto three = os->spawn({.argv = {"sh", "-c", "exit 3"}});
  ASSERT_TRUE(three);
  EXPECT_EQ((*three)->wait(Millis(5000))->status, 3);
  auto killed = os->spawn({.argv = {"sh", "-c", "kill -9 $$"}});
  ASSERT_TRUE(killed);
  const std::optional<Exit> exit = (*killed)->wait(Millis(5000));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->signal, 9);
  EXPECT_NE(exit->text().find("signal 9"), std::string::npos);
}

TEST(Process, MissingProgramIsNamed) {
  const std::unique_ptr<Os> os = make_real_os();
  const auto got = os->spawn({.argv = {"no-such-program-here"}});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kNotFound);
  EXPECT_NE(got.error().message.find("no-such-program-here"), std::string::npos);
  EXPECT_EQ(os->spawn({.argv = {"/etc/passwd"}}).error().code, Code::kPermission);
}

TEST(Process, SpeaksByLines) {
  const std::unique_ptr<Os> os = make_real_os();
  auto cat = os->spawn({.argv = {"cat"}, .pipe_io = true});
  ASSERT_TRUE(cat);
  ASSERT_TRUE((*cat)->write_line("hello"));
  ASSERT_TRUE((*cat)->write_line("world"));
  EXPECT_EQ(*(*cat)->read_line(Millis(5000), KiB(1)), "hello");
  EXPECT_EQ(*(*cat)->read_line(Millis(5000), KiB(1)), "world");
  EXPECT_EQ((*cat)->read_line(Millis(10), KiB(1)).error().code, Code::kTimeout);
  (*cat)->signal_group(SIGKILL);
  EXPECT_EQ((*cat)->read_line(Millis(5000), KiB(1)).error().code, Code::kWorkerFailed);
}

TEST(Process, ALineOverItsLimitIsRefused) {
  const std::unique_ptr<Os> os = make_real_os();
  auto noisy = os->spawn({.argv = {"sh", "-c", "yes | tr -d '\\n'"}, .pipe_io = true});
  ASSERT_TRUE(noisy);
  EXPECT_EQ((*noisy)->read_line(Millis(5000), KiB(64)).error().code, Code::kTooLarge);
}

TEST(Process, DestroyingKillsTheWholeGroup) {
  const std::unique_ptr<Os> os = make_real_os();
  auto parent = os->spawn({.argv = {"sh", "-c", "sleep 100 & echo $!; wait"}, .pipe_io = true});
  ASSERT_TRUE(parent);
  const int child = std::stoi(*(*parent)->read_line(Millis(5000), KiB(1)));
  const int pid = (*parent)->pid();
  parent->reset();
  EXPECT_TRUE(gone(pid));
  for (int i = 0; i < 500 && !gone(child); ++i) os->sleep(Millis(10));
  EXPECT_TRUE(gone(child));
}

TEST(Process, DiesWithItsParent) {
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe(fds.data()), 0);
  const pid_t middle = ::fork();
  if (middle == 0) {
    const std::unique_ptr<Os> os = make_real_os();
    auto child = os->spawn({.argv = {"sleep", "100"}});
    const int pid = child ? (*child)->pid() : 0;
    if (::write(fds[1], &pid, sizeof pid) < 0) ::_exit(1);
    ::pause();
  }
  int pid = 0;
  ASSERT_EQ(::read(fds[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ASSERT_GT(pid, 0);
  ::kill(middle, SIGKILL);
  ::waitpid(middle, nullptr, 0);
  const std::unique_ptr<Os> os = make_real_os();
  // Reparented to init, which may be slow to reap: a zombie has no memory, which is what counts.
  bool dead = false;
  for (int i = 0; i < 500 && !dead; ++i) {
    dead = gone(pid) || !os->pss(pid);
    if (!dead) os->sleep(Millis(10));
  }
  EXPECT_TRUE(dead);
}

TEST(Process, WaitsAtItsGate) {
  const std::unique_ptr<Os> os = make_real_os();
  const std::string mark = std::filesystem::temp_directory_path() /
                           ("gantry_gate_" + std::to_string(::getpid()));
  std::filesystem::remove(mark);
  int told = 0;
  const auto spec = [&](std::function<Result<void>(int)> gate) {
    return ProcessSpec{.argv = {"touch", mark}, .gate = std::move(gate)};
  };
  auto refused = os->spawn(spec([&](int pid) -> Result<void> {
    told = pid;
    os->sleep(Millis(50));
    EXPECT_GT(*os->start_time(pid), 0U);
    EXPECT_FALSE(std::filesystem::exists(mark));
    return fail(Code::kDiskFull, "cannot write it down");
  }));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDiskFull);
  EXPECT_TRUE(gone(told));
  EXPECT_FALSE(std::filesystem::exists(mark));
  auto admitted = os->spawn(spec([&](int pid) -> Result<void> {
    told = pid;
    return {};
  }));
  ASSERT_TRUE(admitted);
  EXPECT_EQ((*admitted)->pid(), told);
  EXPECT_TRUE((*admitted)->wait(Millis(5000))->ok());
  EXPECT_TRUE(std::filesystem::remove(mark));
  auto missing = os->spawn({.argv = {"/etc/passwd"}, .gate = [](int) { return Result<void>{}; }});
  EXPECT_EQ(missing.error().code, Code::kPermission);
}

// The daemon is killed between fork and the row: its child ends before it was anything, and holds
// none of the daemon's locks while it waits.
TEST(Process, EndsAtItsGateWithItsParent) {
  const std::string lock = std::filesystem::temp_directory_path() /
                           ("gantry_gate_lock_" + std::to_string(::getpid()));
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe(fds.data()), 0);
  const pid_t middle = ::fork();
  if (middle == 0) {
    const std::unique_ptr<Os> os = make_real_os();
    const auto locked = lock_file(lock);
    (void)os->spawn({.argv = {"sleep", "100"}, .gate = [&](int pid) -> Result<void> {
      if (!locked || ::write(fds[1], &pid, sizeof pid) < 0) ::_exit(1);
      ::pause();
      return {};
    }});
  }
  int pid = 0;
  ASSERT_EQ(::read(fds[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  const std::unique_ptr<Os> os = make_real_os();
  const std::string link = "/proc/" + std::to_string(pid) + "/fd";
  size_t open = 0;
  for (int i = 0; i < 500 && open != 5; ++i, os->sleep(Millis(2))) open = os->list(link)->size();
  EXPECT_EQ(open, 5U);  // input, output, errors, the gate and the way to tell
  ::kill(middle, SIGKILL);
  ::waitpid(middle, nullptr, 0);
  EXPECT_TRUE(lock_file(lock));
  bool dead = false;
  for (int i = 0; i < 500 && !dead; ++i) {
    dead = gone(pid) || !os->pss(pid);
    if (!dead) os->sleep(Millis(10));
  }
  EXPECT_TRUE(dead);
  std::filesystem::remove(lock);
}

TEST(Process, SecretsStayHere) {
  EXPECT_TRUE(is_secret_variable("GANTRY_API_KEY"));
  EXPECT_TRUE(is_secret_variable("hf_token"));
  EXPECT_FALSE(is_secret_variable("PATH"));
  ::setenv("GANTRY_API_KEY", "sesame", 1);
  ::setenv("GANTRY_PLAIN", "open", 1);
  const std::unique_ptr<Os> os = make_real_os();
  auto shell = os->spawn({.argv = {"sh", "-c", "echo \"[$GANTRY_API_KEY][$GANTRY_PLAIN][$ADDED]\""},
                          .env = {{"ADDED", "yes"}},
                          .pipe_io = true});
  ASSERT_TRUE(shell);
  EXPECT_EQ(*(*shell)->read_line(Millis(5000), KiB(1)), "[][open][yes]");
}

TEST(Process, OutputIsAppended) {
  const std::string log = std::filesystem::temp_directory_path() / "gantry_process_test.log";
  std::filesystem::remove(log);
  const std::unique_ptr<Os> os = make_real_os();
  for (const char* word : {"one", "two"}) {
    auto echo = os->spawn({.argv = {"sh", "-c", std::string("echo ") + word + " >&2"},
                           .output_file = log});
    ASSERT_TRUE(echo);
    ASSERT_TRUE((*echo)->wait(Millis(5000)));
  }
  EXPECT_EQ(*os->read_file(log, KiB(1)), "one\ntwo\n");
  std::filesystem::remove(log);
}

TEST(Process, RunsBelowNormalPriority) {
  const std::unique_ptr<Os> os = make_real_os();
  auto shell = os->spawn({.argv = {"sh", "-c", "nice; chrt -p $$ | head -1; ionice -p $$;"
                                               " cat /proc/self/oom_score_adj"},
                          .pipe_io = true,
                          .niceness = 5,
                          .batch = true,
                          .idle_io = true,
                          .oom_score = 400});
  ASSERT_TRUE(shell);
  const int ours = ::getpriority(PRIO_PROCESS, 0);
  const int its = std::stoi(*(*shell)->read_line(Millis(5000), KiB(1)));
  EXPECT_EQ(its, std::min(19, ours + 5));
  EXPECT_NE((*shell)->read_line(Millis(5000), KiB(1))->find("SCHED_BATCH"), std::string::npos);
  EXPECT_EQ(*(*shell)->read_line(Millis(5000), KiB(1)), "best-effort: prio 7");
  const int score = std::stoi(*os->read_file("/proc/self/oom_score_adj", KiB(1)));
  EXPECT_EQ(*(*shell)->read_line(Millis(5000), KiB(1)),
            std::to_string(std::min(1000, score + 400)));
}

TEST(Process, IsKilledByWhoKnowsWhenItStarted) {
  const std::unique_ptr<Os> os = make_real_os();
  auto parent = os->spawn({.argv = {"sh", "-c", "sleep 100 & echo; wait"}, .pipe_io = true});
  ASSERT_TRUE(parent);
  ASSERT_TRUE((*parent)->read_line(Millis(5000), KiB(1)));
  const int pid = (*parent)->pid();
  const uint64_t started = *os->start_time(pid);
  os->kill_group(pid, started + 1, SIGKILL);
  EXPECT_FALSE((*parent)->wait(Millis(50)));
  os->kill_group(pid, started, SIGKILL);
  EXPECT_EQ((*parent)->wait(Millis(5000))->signal, SIGKILL);
  os->kill_group(pid, started, SIGKILL);  // gone: nothing happens
  os->kill_group(-1, 0, SIGKILL);         // nor here, or this test would be gone
}

TEST(Process, GroupsAreAskedForTheirProcessorTime) {
  const std::unique_ptr<Os> os = make_real_os();
  // The leader sleeps, its child computes.
  auto busy = os->spawn({.argv = {"sh", "-c", "sh -c 'while :; do :; done' & wait"}});
  auto idle = os->spawn({.argv = {"sleep", "100"}});
  ASSERT_TRUE(busy && idle);
  for (int i = 0; i < 1000 && *os->cpu_time((*busy)->pid()) < Millis(50); ++i) {
    os->sleep(Millis(10));
  }
  EXPECT_GE(*os->cpu_time((*busy)->pid()), Millis(50));
  EXPECT_LE(*os->cpu_time((*idle)->pid()), Millis(20));
  EXPECT_EQ(os->cpu_time(1'000'000'000).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry
