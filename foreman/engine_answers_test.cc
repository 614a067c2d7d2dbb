// Answers are asked for once, and again when anything is another.
#include "foreman/engine_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_os.h"

namespace gantry {
namespace {

using nlohmann::json;

WorkerSpec some_spec(uint32_t context = 512) {
  WorkerSpec spec;
  spec.model = "m";
  spec.file = "/m/m.gguf";
  spec.placement.context = context;
  return spec;
}

class Answers : public testing::Test {
 protected:
  EngineAnswersOptions options(const std::string& about = "engine 1") {
    return {&os_, &clock_,
            [this](const WorkerSpec& spec) -> Result<json> {
              ++processes_;
              if (failure_) return fail(*failure_);
              return json{{"devices", json::array()},
                          {"buffers", {{{"type", "CPU"}}}},
                          {"host",
                           {{"model", 100},
                            {"context", spec.placement.context},
                            {"compute", 3}}}};
            },
            "/state/dry-runs.json", about,
            [this](const std::string& model, const Error&) { told_.push_back(model); }};
  }
  Bytes kv(EngineAnswers& answers, const WorkerSpec& spec, const std::string& files = "a") {
    const Result<std::vector<Need>> needs = answers.ask(spec, files);
    EXPECT_TRUE(needs);
    return needs ? needs->back().kv : Bytes{};
  }
  std::string& file() { return os_.files["/state/dry-runs.json"]; }

  FakeOs os_;
  FakeClock clock_;
  int processes_ = 0;
  std::optional<Error> failure_;
  std::vector<std::string> told_;
};

TEST_F(Answers, OncePerProcessAndForTheNextOne) {
  EngineAnswers first(options());
  EXPECT_EQ(kv(first, some_spec()), Bytes{512});
  EXPECT_EQ(kv(first, some_spec()), Bytes{512});
  EXPECT_EQ(processes_, 1);
  EXPECT_EQ(first.counts().asked, 1U);
  EXPECT_EQ(first.counts().known, 1U);
  EngineAnswers second(options());
  EXPECT_EQ(kv(second, some_spec()), Bytes{512});
  EXPECT_EQ(processes_, 1);
  EXPECT_EQ(second.counts().asked, 0U);
  EXPECT_EQ(file().find("buffers"), std::string::npos);
}

TEST_F(Answers, AnotherFileEngineFlagOrVariableIsAnotherQuestion) {
  EngineAnswers one(options());
  kv(one, some_spec());
  EXPECT_EQ(kv(one, some_spec(1024)), Bytes{1024});
  EXPECT_EQ(processes_, 2);
  kv(one, some_spec(), "replaced");
  EXPECT_EQ(processes_, 3);
  WorkerSpec spec = some_spec();
  spec.env = {{"CUDA_VISIBLE_DEVICES", "1"}};
  kv(one, spec);
  EXPECT_EQ(processes_, 4);
  EngineAnswers other(options("engine 2"));
  kv(other, some_spec());
  EXPECT_EQ(processes_, 5);
}

TEST_F(Answers, TheEngineIsItsFiles) {
  os_.files["/bin/gantry-worker"] = "1";
  os_.files["/engines/llama-server"] = "1";
  const std::string before = engine_identity(os_, "/bin/gantry-worker", "/engines");
  EXPECT_EQ(engine_identity(os_, "/bin/gantry-worker", "/engines"), before);
  os_.files["/engines/llama-server"] = "12";
  EXPECT_NE(engine_identity(os_, "/bin/gantry-worker", "/engines"), before);
  os_.files.erase("/engines/llama-server");
  EXPECT_NE(engine_identity(os_, "/bin/gantry-worker", "/engines"), before);
}

TEST_F(Answers, AFileThatIsNotUnderstoodIsWrittenAnew) {
  {
    EngineAnswers answers(options());
    kv(answers, some_spec());
  }
  const std::string good = file();
  json other = json::parse(good);
  other["version"] = 2;
  json wrong = json::parse(good);
  wrong["answers"][0]["answer"]["host"]["model"] = -1;
  json odd = json::parse(good);
  odd["answers"].push_back(7);
  odd["answers"].push_back({{"key", 7}});
  odd["answers"][0]["key"] = "short";
  for (const std::string& text :
       {std::string("garbage"), std::string(), other.dump(), wrong.dump(), odd.dump(),
        std::string("{\"version\":1}"), std::string("{\"version\":1,\"answers\":7}"),
        good.substr(0, good.size() / 2), std::string(kAnswersFileMax.n + 1, ' ')}) {
    file() = text;
    processes_ = 0;
    EngineAnswers answers(options());
    EXPECT_EQ(kv(answers, some_spec()), Bytes{512});
    EXPECT_EQ(processes_, 1) << text.substr(0, 80);
    EXPECT_EQ(json::parse(file()), json::parse(good)) << text.substr(0, 80);
  }
}

TEST_F(Answers, SoManyAreKept) {
  EngineAnswers answers(options());
  for (uint32_t i = 1; i <= kAnswersKept; ++i) kv(answers, some_spec(i));
  EXPECT_EQ(json::parse(file())["answers"].size(), kAnswersKept);
  kv(answers, some_spec(kAnswersKept + 1));
  EXPECT_EQ(json::parse(file())["answers"].size(), kAnswersKept);
  EngineAnswers later(options());
  processes_ = 0;
  kv(later, some_spec(2));
  EXPECT_EQ(processes_, 0);
  kv(later, some_spec(1));  // the oldest had to go
  EXPECT_EQ(processes_, 1);
}

TEST_F(Answers, WhatAnotherProcessWroteMeanwhileStays) {
  EngineAnswers one(options()), two(options());
  kv(one, some_spec(1));
  kv(two, some_spec(2));
  kv(one, some_spec(3));
  EXPECT_EQ(json::parse(file())["answers"].size(), 3U);
}

TEST_F(Answers, AFolderThatTakesNoFileOnlyCostsTime) {
  EngineAnswersOptions nowhere = options();
  nowhere.file.clear();
  EngineAnswers answers(nowhere);
  kv(answers, some_spec());
  kv(answers, some_spec());
  EXPECT_EQ(processes_, 1);
  EXPECT_TRUE(os_.files.empty());
  EngineAnswers full(options());
  os_.fail_at(2, {Code::kDiskFull, "full"});  // read, read again, write
  EXPECT_EQ(kv(full, some_spec()), Bytes{512});
  EXPECT_TRUE(os_.files.empty());
}

TEST_F(Answers, AFailureIsToldOnceAndHeldForAWhile) {
  failure_ = Error{Code::kTimeout, "too late"};
  EngineAnswers answers(options());
  EXPECT_EQ(answers.ask(some_spec(), "a").error().code, Code::kTimeout);
  clock_.advance(kAnswerFailureHeld - Millis(1));
  EXPECT_EQ(answers.ask(some_spec(), "a").error().code, Code::kTimeout);
  EXPECT_EQ(processes_, 1);
  EXPECT_THAT(told_, testing::ElementsAre("m"));
  EXPECT_TRUE(os_.files.empty());  // never kept
  failure_.reset();
  clock_.advance(Millis(1));
  EXPECT_EQ(kv(answers, some_spec()), Bytes{512});
  EXPECT_EQ(answers.counts().failed, 1U);
}

TEST_F(Answers, WhoCannotBeAskedIsNoFailure) {
  failure_ = Error{Code::kUnsupported, "whisper"};
  EngineAnswers answers(options());
  EXPECT_EQ(answers.ask(some_spec(), "a").error().code, Code::kUnsupported);
  EXPECT_EQ(answers.counts().asked, 0U);
  EXPECT_TRUE(told_.empty());
}

}  // namespace
}  // namespace gantry
