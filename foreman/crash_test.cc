// kill -9 by operation count: a child process runs a foreman and dies at the n-th durable step. The
// history is kept by the parent, outside the store, from what the child said before it died.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>
#include <sstream>

#include "base/rng.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

constexpr int kJobs = 10;

// One line to the parent; a pipe keeps it when we are killed right after.
void say(int fd, const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(fd, whole.data(), whole.size()) < 0) ::_exit(3);
}

// The life of one daemon: recovers, accepts what is missing, works, and is killed at step `fatal`.
[[noreturn]] void daemon_life(const std::string& dir, int fd, uint64_t fatal, int already) {
  TestBench bench(dir);
  std::atomic<uint64_t> steps{0};
  StoreOptions store;
  store.on_step = [&](std::string_view step) {
    if (++steps != fatal) return;
    say(fd, "kill " + std::string(step));
    ::kill(::getpid(), SIGKILL);
  };
  const Result<void> started =
      bench.start(store, [fd](const Job& job) { say(fd, "run " + job.id); });
  if (!started) {
    say(fd, "broken " + started.error().message);
    ::_exit(4);
  }
  for (int i = already; i < kJobs; ++i) {
    JobSpec spec;
    spec.kind = "steps";
    spec.params = R"({"steps":2,"model":"small"})";
    spec.idempotency_key = "job " + std::to_string(i);
    Result<std::string> id = bench.foreman->submit(spec);
    if (!id) ::_exit(5);
    say(fd, "ack " + *id);
  }
  std::set<std::string> told;
  for (int look = 0; told.size() < kJobs; ++look) {
    if (look > 60'000) {
      say(fd, "broken jobs are stuck");
      ::_exit(6);
    }
    const std::vector<Job> jobs = bench.foreman->jobs({.limit = 100}).value_or(std::vector<Job>{});
    for (const Job& job : jobs) {
      if (job.state == JobState::kDone && told.insert(job.id).second) {
        say(fd, "done " + job.id + " " + job.result_sha256);
      }
      if (job.state == JobState::kFailed && told.insert(job.id).second) {
        say(fd, "failed " + job.id + " " + std::string(code_name(job.error->code)));
      }
    }
    std::this_thread::sleep_for(Millis(1));
  }
  say(fd, "end");
  ::_exit(0);
}

class History {
 public:
  void read(const std::string& line) {
    std::istringstream words(line);
    std::string what, id, rest;
    words >> what >> id;
    std::getline(words, rest);
    if (what == "broken") ADD_FAILURE() << line;
    if (what == "ack") acknowledged.insert(id);
    if (what == "run") {
      EXPECT_FALSE(done.contains(id)) << id << " ran again after it was done";
    }
    if (what == "failed") {
      EXPECT_EQ(rest, " unavailable");  // given up with the right evidence
    }
    if (what == "done") {
      EXPECT_TRUE(!done.contains(id) || done[id] == rest) << id << " has two results";
      done[id] = rest;
    }
    if (what == "kill") ++kills[id + rest];
    ended = ended || what == "end";
  }
  std::set<std::string> acknowledged;
  std::map<std::string, std::string> done;
  std::map<std::string, int> kills;  // by step
  bool ended = false;
};

// No thread of ours runs at the fork: sanitizers allow no other.
void live_once(const std::string& dir, History& history, uint64_t fatal) {
  std::array<int, 2> fds{};
  ASSERT_EQ(::pipe(fds.data()), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(fds[0]);
    daemon_life(dir, fds[1], fatal, static_cast<int>(history.acknowledged.size()));
  }
  ::close(fds[1]);
  std::string text, chunk(4096, '\0');
  for (ssize_t n = 0; (n = ::read(fds[0], chunk.data(), chunk.size())) > 0;) {
    text.append(chunk.data(), static_cast<size_t>(n));
  }
  ::close(fds[0]);
  ::waitpid(child, nullptr, 0);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) history.read(line);
}

TEST(Crash, KilledAtAnyStepNothingAcknowledgedIsLost) {
  const uint64_t seed = Rng::from_system().next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  std::map<std::string, int> kills;
  for (int round = 0; round < 5; ++round) {
    std::string dir = testing::TempDir() + "gantry-crash-XXXXXX";
    ASSERT_NE(::mkdtemp(dir.data()), nullptr);
    History history;
    for (int life = 0; life < 200 && !history.ended; ++life) {
      // The first step is the token epoch; a life without a fatal step ends the round.
      live_once(dir, history, life < 25 ? 1 + rng.below(45) : 0);
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(history.ended);
    // The parent looks for itself.
    TestBench bench(dir);
    ASSERT_TRUE(bench.start());
    EXPECT_EQ(history.acknowledged.size(), static_cast<size_t>(kJobs));
    for (const std::string& id : history.acknowledged) {
      const Result<Job> job = bench.foreman->job(id);
      ASSERT_TRUE(job) << id << " is lost";
      if (job->state == JobState::kFailed) continue;
      ASSERT_EQ(job->state, JobState::kDone);
      EXPECT_EQ(" " + job->result_sha256, history.done[id]);
      EXPECT_TRUE(bench.foreman->result(id));
    }
    EXPECT_EQ(bench.executor->runs, 0);
    for (const auto& [step, count] : history.kills) kills[step] += count;
    bench.foreman.reset();
    std::filesystem::remove_all(dir);
  }
  for (const auto& [step, count] : kills) {
    GTEST_LOG_(INFO) << "killed at '" << step << "': " << count;
  }
  EXPECT_GE(kills.size(), 8U) << "the kills all landed in the same place";
}

}  // namespace
}  // namespace gantry
