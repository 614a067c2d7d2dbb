// Children: logs, last words, and being gone for certain.
#include "worker/child.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "base/limits.h"
#include "worker/test_bench.h"

namespace gantry {
namespace {

bool gone(int pid) { return ::kill(pid, 0) != 0; }

class ChildTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Child>> start(const std::string& script) {
    ProcessSpec spec = worker_process(bench_context(folder_), "m");
    spec.argv = {"sh", "-c", script};
    return Child::start(*os_, spec, "the worker for m");
  }
  std::string log() const { return worker_log_path(folder_.path(), "m"); }
  // Until `path` is there: the script has come that far.
  void await(const std::string& path) {
    while (!exists(path)) os_->sleep(Millis(5));
  }

  TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
};

TEST_F(ChildTest, DeathComesWithEvidence) {
  auto child = start("echo out; echo 'cannot\topen weights' >&2; exit 7");
  ASSERT_TRUE(child);
  (*child)->process().wait(Millis(5000));
  const Result<void> alive = (*child)->alive();
  ASSERT_FALSE(alive);
  EXPECT_EQ(alive.error().code, Code::kWorkerFailed);
  EXPECT_EQ(alive.error().message,
            "the worker for m ended, exit status 7: out | cannot open weights");
  EXPECT_NE(alive.error().remedy.find(log()), std::string::npos);
}

TEST_F(ChildTest, AnErrorAbovePagesOfUsageIsKept) {
  auto child = start(
      "echo 'error: old'; echo 'error: no such device: GPU7'; "
      "for i in $(seq 200); do echo \"  -$i  an option\"; done; exit 1");
  ASSERT_TRUE(child);
  (*child)->process().wait(Millis(5000));
  const std::string message = (*child)->alive().error().message;
  EXPECT_NE(message.find("exit status 1: error: no such device: GPU7 |"), std::string::npos)
      << message;
  EXPECT_EQ(message.find("error: old"), std::string::npos) << message;
  EXPECT_TRUE(message.ends_with("-200  an option")) << message;
}

TEST_F(ChildTest, ASignalIsNamed) {
  auto child = start("kill -9 $$");
  ASSERT_TRUE(child);
  (*child)->process().wait(Millis(5000));
  EXPECT_NE((*child)->alive().error().message.find("signal 9"), std::string::npos);
}

TEST_F(ChildTest, OnlyTheLastLinesOfThisRunAreShown) {
  folder_.write("m.log", "an old run\n");
  auto child = start("for i in 1 2 3 4 5 6 7 8 9 10; do echo line$i; done; exit 1");
  ASSERT_TRUE(child);
  (*child)->process().wait(Millis(5000));
  const std::string message = (*child)->alive().error().message;
  EXPECT_EQ(message.find("old run"), std::string::npos);
  EXPECT_EQ(message.find("line2 "), std::string::npos);
  EXPECT_NE(message.find("line3 | "), std::string::npos);
  EXPECT_NE(message.find("line10"), std::string::npos);
  EXPECT_NE(slurp(log()).find("an old run"), std::string::npos);  // but kept
}

TEST_F(ChildTest, StopEndsTheGroupEvenIfItIsStubborn) {
  const std::string mark = folder_.file("up");
  auto child = start("trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo $! > " +
                     mark + ".tmp; mv " + mark + ".tmp " + mark + "; while :; do sleep 0.05; done");
  ASSERT_TRUE(child);
  await(mark);
  const int leader = (*child)->pid(), grandchild = std::stoi(slurp(mark));
  (*child)->kill();
  EXPECT_TRUE(gone(leader));
  while (!gone(grandchild)) os_->sleep(Millis(5));  // init reaps it; the test's limit is the judge
}

TEST_F(ChildTest, StopIsHeardAndMayBeCalledTwice) {
  const std::string mark = folder_.file("up"), bye = folder_.file("bye");
  auto child = start("trap 'touch " + bye + "; exit 0' TERM; touch " + mark +
                     "; while :; do sleep 0.05; done");
  ASSERT_TRUE(child);
  await(mark);
  (*child)->stop();
  EXPECT_TRUE(exists(bye));
  (*child)->stop();
  EXPECT_TRUE(gone((*child)->pid()));
}

TEST_F(ChildTest, LogsAreRotatedAtTheLimitAndNotBefore) {
  folder_.write("m.log", std::string(kWorkerLogMax.n, 'x'));
  ASSERT_TRUE(start("true"));
  EXPECT_FALSE(exists(log() + ".1"));
  folder_.write("m.log", "first" + std::string(kWorkerLogMax.n, 'y'));
  ASSERT_TRUE(start("true"));
  EXPECT_EQ(std::filesystem::file_size(log() + ".1"), kWorkerLogMax.n);
  EXPECT_EQ(std::filesystem::file_size(log()), 0U);
}

TEST_F(ChildTest, SecretsAndOtherSettingsAreNotInherited) {
  ::setenv("GANTRY_API_KEY", "hush", 1);
  ::setenv("LLAMA_ARG_HOST", "0.0.0.0", 1);
  auto child = start("env");
  ASSERT_TRUE(child);
  (*child)->process().wait(Millis(5000));
  const std::string env = slurp(log());
  EXPECT_EQ(env.find("hush"), std::string::npos);
  EXPECT_EQ(env.find("LLAMA_ARG"), std::string::npos);
  EXPECT_NE(env.find("OMP_WAIT_POLICY=passive"), std::string::npos);
  EXPECT_NE(env.find("PATH="), std::string::npos);
}

TEST_F(ChildTest, AMissingProgramIsUnavailable) {
  ProcessSpec spec = worker_process(bench_context(folder_), "m");
  spec.argv = {"no-such-engine"};
  const auto child = Child::start(*os_, spec, "the worker for m");
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::kUnavailable);
  EXPECT_NE(child.error().message.find("no-such-engine"), std::string::npos);
}

TEST(WorkerLogPath, NamesAreNotPaths) {
  EXPECT_EQ(worker_log_path("/l", "llama3-8b"), "/l/llama3-8b.log");
  for (const char* name : {"../../etc/passwd", "a/b", "..", "", "-rf", "a b", "a\nb", "\xFF"}) {
    const std::string path = worker_log_path("/l", name);
    EXPECT_EQ(path.substr(0, 3), "/l/") << name;
    EXPECT_EQ(path.find('/', 3), std::string::npos) << name;
    EXPECT_NE(path[3], '.') << name;
    EXPECT_NE(path[3], '-') << name;
  }
  EXPECT_NE(worker_log_path("/l", "a/b"), worker_log_path("/l", "a_b"));
  EXPECT_NE(worker_log_path("/l", "a/b"), worker_log_path("/l", "a:b"));
  EXPECT_LT(worker_log_path("/l", std::string(5000, 'a')).size(), 200U);
}

TEST(ComputeThreads, PerformanceCoresAlone) {
  EXPECT_EQ(compute_threads(nullptr), 1U);
  Cpu cpu;
  cpu.threads = 2;
  EXPECT_EQ(compute_threads(&cpu), 2U);
  cpu.threads = 16;
  cpu.p_cores = {0, 1, 2, 3};
  cpu.e_cores = {4, 5, 6, 7};
  EXPECT_EQ(compute_threads(&cpu), 4U);
  cpu.threads = 1;  // a cgroup's quota
  EXPECT_EQ(compute_threads(&cpu), 1U);
  WorkerContext context;
  context.cpu = &cpu;
  EXPECT_EQ(worker_process(context, "m").cpus, cpu.p_cores);
}

}  // namespace
}  // namespace gantry
