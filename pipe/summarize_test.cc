// The kind "summarize": what it refuses, what it gives back.
#include "pipe/summarize.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"

namespace gantry {
namespace {

class SummarizeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    foreman_.worker.answer = [this](const nlohmann::json& body) {
      asked_.push_back(body["messages"][0]["content"]);
      return chat_events("- noted\n");
    };
  }
  Result<std::string> run(const std::string& text, const std::string& params) {
    foreman_.os.files["/notes.txt"] = text;
    FakeJobContext context(foreman_,
                           {.kind = "summarize", .params = params, .files = {"/notes.txt"}});
    return make_summarize(foreman_.os)->run(context);
  }

  FakeForemanForPipes foreman_;
  std::vector<std::string> asked_;
};

TEST_F(SummarizeTest, GivesTextPartsAndLevels) {
  const Result<std::string> got =
      run("Anna: One. Two. Three. Four.\nBen: Five.\n", "{\"part_lines\": 2, \"model\": \"big\"}");
  ASSERT_TRUE(got) << got.error().message;
  const nlohmann::json page = nlohmann::json::parse(*got);
  EXPECT_EQ(page["text"], "- noted");
  ASSERT_EQ(page["parts"].size(), 3U);
  EXPECT_EQ(page["parts"][1]["text"], "Anna: Three. Four.") << "the speaker is said again";
  EXPECT_EQ(page["levels"], (std::vector<int>{3, 1}));
  EXPECT_EQ(foreman_.opened, (std::vector<std::string>{"big", "big"}));
}

TEST_F(SummarizeTest, TwoModelsAndTheUsersQuestions) {
  ASSERT_TRUE(run("One. Two.", R"({"map": "npu", "reduce": "gpu", "part_lines": 1,
                                   "map_prompt": "Who?", "reduce_prompt": "All?"})"));
  EXPECT_EQ(foreman_.opened, (std::vector<std::string>{"npu", "gpu"}));
  ASSERT_EQ(asked_.size(), 3U);
  EXPECT_EQ(asked_[0], "Who?\n\nOne.");
  EXPECT_EQ(asked_[2], "All?\n\n- noted\n\n- noted");
}

TEST_F(SummarizeTest, RefusesWhatIsNoText) {
  EXPECT_EQ(run("\xff\xfe", "{}").error().code, Code::kCorrupt);
  EXPECT_EQ(run(std::string("a\0b", 3), "{}").error().code, Code::kCorrupt);
  EXPECT_EQ(run(" \n\n", "{}").error().code, Code::kCorrupt);
  const auto kind = make_summarize(foreman_.os);
  EXPECT_FALSE(kind->check({.files = {}}));
  EXPECT_FALSE(kind->check({.files = {"/a", "/b"}}));
  EXPECT_FALSE(kind->check({.params = "{\"prompt_tokens\": -1}", .files = {"/a"}}));
  EXPECT_TRUE(kind->check({.params = "{\"map\": \"m\"}", .files = {"/a"}}));
}

}  // namespace
}  // namespace gantry
