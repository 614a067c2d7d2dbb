// One answer, or why there is none.
#include "foreman/ask_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_os.h"
#include "foreman/one_line.h"

namespace gantry {
namespace {

class AskWorker : public testing::Test {
 protected:
  Result<WorkerAnswer> ask(std::optional<std::string> line, Code missing = Code::kWorkerFailed,
                           const std::string& errors = "") {
    os_.on_spawn = [=, this](const ProcessSpec& spec) -> Result<std::unique_ptr<Process>> {
      spec_ = spec;
      os_.files[spec.output_file] = errors;
      return std::make_unique<SaysOneLine>(line, missing);
    };
    return ask_worker(os_, {{"/bin/worker", "x"}, {{"A", "b"}}, "/run/x.err", Millis(5)});
  }
  FakeOs os_;
  ProcessSpec spec_;
};

TEST_F(AskWorker, ItsLine) {
  const Result<WorkerAnswer> answer = ask("{}", Code::kWorkerFailed, "chatter\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->line, "{}");
  EXPECT_EQ(spec_.argv, (std::vector<std::string>{"/bin/worker", "x"}));
  EXPECT_EQ(spec_.env.front().second, "b");
  EXPECT_TRUE(spec_.pipe_io);
  EXPECT_FALSE(os_.files.contains("/run/x.err"));  // nothing is left
}

TEST_F(AskWorker, ItsLastWordsAndItsEnd) {
  const Result<WorkerAnswer> answer =
      ask(std::nullopt, Code::kWorkerFailed, "chatter\ngantry: no such file (look)\n\n");
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->line);
  EXPECT_EQ(answer->words, "no such file (look)");
  EXPECT_THAT(answer->end, testing::HasSubstr("signal 11"));
  EXPECT_FALSE(answer->late);
  EXPECT_FALSE(os_.files.contains("/run/x.err"));
}

TEST_F(AskWorker, NotInTime) {
  const Result<WorkerAnswer> answer = ask(std::nullopt, Code::kTimeout);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->late);
}

TEST_F(AskWorker, NotThere) {
  EXPECT_EQ(ask_worker(os_, {{"/bin/worker"}, {}, "", Millis(5)}).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace gantry
