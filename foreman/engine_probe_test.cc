// Placements as flags, answers as needs, and an engine that does not answer.
#include "foreman/engine_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/fake_os.h"
#include "foreman/one_line.h"
#include "worker/llama.h"

namespace gantry {
namespace {

using nlohmann::json;
using testing::HasSubstr;

WorkerSpec two_cards() {
  WorkerSpec spec;
  spec.model = "m";
  spec.file = "/m/m.gguf";
  spec.mmproj = "/m/eyes.gguf";
  spec.flash_attention = true;
  spec.parallel = 2;
  spec.placement.context = 1024;
  spec.placement.layers = {6, 0, 2};
  spec.placement.splits = {{"gpu0", 4}, {"gpu1", 2}};
  spec.devices = {"CUDA0", "CUDA1"};
  return spec;
}

json answer_of_two() {
  return {{"devices",
           {{{"name", "CUDA1"}, {"model", 20}, {"context", 2}, {"compute", 3}},
            {{"name", "CUDA0"},
             {"model", 100},
             {"context", 10},
             {"compute", 5},
             {"mmproj", 7},
             {"mmproj_compute", 1}}}},
          {"host", {{"model", 50}, {"context", 8}, {"compute", 4}, {"output", 1}}}};
}

class EngineProbeTest : public testing::Test {
 protected:
  Result<json> ask(const WorkerSpec& spec, std::optional<std::string> line,
                   const std::string& errors = "", Code missing = Code::kWorkerFailed) {
    os_.on_spawn = [=, this](const ProcessSpec& process) -> Result<std::unique_ptr<Process>> {
      argv_ = process.argv;
      os_.files[process.output_file] = errors;
      return std::make_unique<SaysOneLine>(line, missing);
    };
    return engine_probe(os_, "/bin/gantry-worker", "/engines", "/run")(spec);
  }
  FakeOs os_;
  std::vector<std::string> argv_;
};

TEST_F(EngineProbeTest, ItIsToldWhatTheServerIsTold) {
  const WorkerSpec spec = two_cards();
  ASSERT_TRUE(ask(spec, "{}"));
  const std::vector<std::string> head(argv_.begin(), argv_.begin() + 4);
  EXPECT_EQ(head, (std::vector<std::string>{"/bin/gantry-worker", "--engines", "/engines",
                                            "dry-run"}));
  const std::vector<std::string> flags(argv_.begin() + 4, argv_.end());
  EXPECT_EQ(flags, llama_memory_argv(spec));
  // All of them are the server's too, in this order.
  const std::vector<std::string> server = llama_argv({}, spec, "/run/s.sock").value();
  EXPECT_NE(std::ranges::search(server, flags).begin(), server.end());
  EXPECT_THAT(flags, testing::IsSupersetOf({"-c", "2048", "--device", "CUDA0,CUDA1",
                                            "--tensor-split", "4,3", "--mmproj"}));
}

TEST_F(EngineProbeTest, ThePluginOfTheEnvironmentIsLoaded) {
  WorkerSpec spec = two_cards();
  os_.environment["GGML_BACKEND_PATH"] = "/a.so";
  EXPECT_EQ(dry_run_flags(os_, spec).back(), "/a.so");
  spec.env = {{"GGML_BACKEND_PATH", "/b.so"}};
  EXPECT_EQ(dry_run_flags(os_, spec).back(), "/b.so");
}

TEST_F(EngineProbeTest, NeedsAreByTheDevicesOfThePlan) {
  const Result<std::vector<Need>> needs = needs_of_answer(answer_of_two(), two_cards());
  ASSERT_TRUE(needs) << needs.error().message;
  ASSERT_EQ(needs->size(), 3U);
  EXPECT_EQ((*needs)[0].device, "gpu0");
  EXPECT_EQ((*needs)[0].weights, Bytes{107});
  EXPECT_EQ((*needs)[0].kv, Bytes{10});
  EXPECT_EQ((*needs)[0].compute, Bytes{6});
  EXPECT_EQ((*needs)[1].device, "gpu1");
  EXPECT_EQ((*needs)[1].weights, Bytes{20});
  EXPECT_EQ((*needs)[2].device, "cpu");
  EXPECT_EQ((*needs)[2].compute, Bytes{4});  // the output is in it
  EXPECT_EQ((*needs)[2].overhead, Bytes{});
}

TEST_F(EngineProbeTest, StrangeAnswersNameTheField) {
  const auto words = [](auto change) {
    json answer = answer_of_two();
    change(answer);
    const Result<std::vector<Need>> needs = needs_of_answer(answer, two_cards());
    EXPECT_FALSE(needs) << answer;
    return needs ? std::string() : needs.error().message;
  };
  EXPECT_THAT(words([](json& j) { j = json::array(); }), HasSubstr("no object"));
  EXPECT_THAT(words([](json& j) { j.erase("host"); }), HasSubstr("host"));
  EXPECT_THAT(words([](json& j) { j["host"] = 7; }), HasSubstr("cpu"));
  EXPECT_THAT(words([](json& j) { j["devices"] = 7; }), HasSubstr("devices"));
  EXPECT_THAT(words([](json& j) { j["devices"].erase(0); }), HasSubstr("1 devices instead of 2"));
  EXPECT_THAT(words([](json& j) { j["devices"][0] = "CUDA1"; }), HasSubstr("nothing of CUDA1"));
  EXPECT_THAT(words([](json& j) { j["devices"][0]["name"] = "CUDA9"; }), HasSubstr("CUDA1"));
  EXPECT_THAT(words([](json& j) { j["host"].erase("model"); }), HasSubstr("model"));
  EXPECT_THAT(words([](json& j) { j["host"]["compute"] = -1; }), HasSubstr("compute"));
  EXPECT_THAT(words([](json& j) { j["host"]["context"] = "2"; }), HasSubstr("context"));
  json most = answer_of_two();
  most["host"]["context"] = uint64_t{1} << 50;
  EXPECT_TRUE(needs_of_answer(most, two_cards()));
  EXPECT_THAT(words([](json& j) { j["host"]["context"] = (uint64_t{1} << 50) + 1; }),
              HasSubstr("beyond every machine"));
  EXPECT_THAT(words([](json& j) {
                for (json* row : {&j["devices"][0], &j["devices"][1], &j["host"]}) {
                  (*row)["model"] = 0;
                }
                j["devices"][1]["mmproj"] = 0;
              }),
              HasSubstr("without weights"));
}

TEST_F(EngineProbeTest, ItsWordsItsSignalItsSilence) {
  const WorkerSpec spec = two_cards();
  EXPECT_EQ(ask(spec, std::nullopt, "gantry: cannot make a context\n").error().message,
            "cannot make a context");
  const Error crashed = ask(spec, std::nullopt).error();
  EXPECT_EQ(crashed.code, Code::kWorkerFailed);
  EXPECT_THAT(crashed.message, HasSubstr("signal 11"));
  EXPECT_EQ(ask(spec, std::nullopt, "", Code::kTimeout).error().code, Code::kTimeout);
  EXPECT_EQ(ask(spec, "not json").error().code, Code::kInternal);
  os_.on_spawn = nullptr;
  EXPECT_EQ(engine_probe(os_, "/bin/w", "/e", "/run")(spec).error().code, Code::kNotFound);
}

TEST_F(EngineProbeTest, OthersAreNotAsked) {
  WorkerSpec spec = two_cards();
  spec.engine = EngineKind::kWhisper;
  EXPECT_EQ(ask(spec, "{}").error().code, Code::kUnsupported);
  spec = two_cards();
  spec.placement.stream = StreamPlan{};
  EXPECT_EQ(ask(spec, "{}").error().code, Code::kUnsupported);
  EXPECT_TRUE(argv_.empty());
}

}  // namespace
}  // namespace gantry
