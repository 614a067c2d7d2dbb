// Budgets hold, levels end, an interrupted run asks only what is missing.
#include "pipe/map_reduce.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "pipe/fake_job.h"

namespace gantry {
namespace {

size_t words_of(const std::string& text) {
  std::istringstream in(text);
  size_t n = 0;
  for (std::string word; in >> word;) ++n;
  return n;
}

class MapReduceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ModelStatus model;
    model.name = "m";
    model.placement.context = 60;  // tokens are words here; answers get half
    foreman_.known = {model};
    foreman_.worker.answer = [this](const nlohmann::json& body) { return clerk(body); };
    for (int i = 0; i < 100; ++i) lines_.push_back(fmt::format("line {} says something.\n", i));
    spec_.what = "test";
    spec_.map_model = spec_.reduce_model = "m";
    spec_.part_prompt = [](std::string_view part) { return "PART\n" + std::string(part); };
    spec_.join_prompt = [](std::span<const std::string> lists) {
      std::string text = "JOIN";
      for (const std::string& list : lists) text += "\n" + list;
      return text;
    };
    spec_.tidy = [](std::string_view answer) { return std::string(answer); };
  }

  // Answers a part with its first word's number, a join with the least and the largest.
  http::Response clerk(const nlohmann::json& body) {
    const std::string text = body["messages"][0]["content"];
    asked_.push_back(text);
    std::istringstream in(text);
    std::vector<int> numbers;
    for (std::string word; in >> word;) {
      if (std::isdigit(static_cast<unsigned char>(word[0])) != 0) numbers.push_back(stoi(word));
    }
    const auto [least, most] = std::ranges::minmax(numbers);
    return chat_events(fmt::format("{} to {}", least, most));
  }

  Result<std::string> run(FakeJobContext& context, std::vector<uint32_t>* levels = nullptr) {
    Steps steps(context, foreman_.os, 2);
    std::vector<TextUnit> units;
    for (const std::string& line : lines_) units.push_back({line, {}});
    MapReduce work(foreman_.os, context, steps, spec_);
    Result<std::vector<std::string>> answers = work.map(units);
    if (!answers) return fail(answers.error());
    Result<std::string> joined = work.reduce(*answers);
    if (levels != nullptr) *levels = work.levels();
    return joined;
  }

  FakeForemanForPipes foreman_;
  std::vector<std::string> lines_, asked_;
  MapReduceSpec spec_;
};

TEST_F(MapReduceTest, LevelsUntilOneIsLeft) {
  FakeJobContext context(foreman_, {});
  std::vector<uint32_t> levels;
  const Result<std::string> got = run(context, &levels);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, "0 to 99");
  ASSERT_GE(levels.size(), 3U) << "more than one level";
  EXPECT_TRUE(std::ranges::is_sorted(levels, std::greater()));
  EXPECT_EQ(levels.back(), 1U);
  for (const std::string& prompt : asked_) EXPECT_LE(words_of(prompt), 30U) << prompt;
  // Every line was in one part, in order.
  std::string mapped;
  for (const std::string& prompt : asked_) {
    if (prompt.starts_with("PART")) mapped += prompt.substr(5) + "\n";
  }
  std::string whole;
  for (const std::string& line : lines_) whole += line;
  EXPECT_EQ(mapped, whole);
}

TEST_F(MapReduceTest, FoldsFromTheLeft) {
  spec_.fold = true;
  spec_.lists_max = 2;
  spec_.lines_max = 3;
  FakeJobContext context(foreman_, {});
  EXPECT_EQ(*run(context), "0 to 99");
  const auto joins = std::ranges::count_if(
      asked_, [](const std::string& prompt) { return prompt.starts_with("JOIN"); });
  EXPECT_EQ(joins, 33);  // 34 parts of three lines
}

TEST_F(MapReduceTest, ARestartAsksOnlyWhatIsMissing) {
  size_t whole = 0;
  {
    FakeJobContext context(foreman_, {});
    ASSERT_TRUE(run(context));
    whole = asked_.size();
  }
  for (size_t fatal = 0; fatal < whole; ++fatal) {
    asked_.clear();
    FakeJobContext context(foreman_, {});
    foreman_.worker.answer = [&](const nlohmann::json& body) {
      return asked_.size() == fatal ? http::Response{500, {}, "{}"} : clerk(body);
    };
    ASSERT_FALSE(run(context)) << fatal;
    foreman_.worker.answer = [&](const nlohmann::json& body) { return clerk(body); };
    ASSERT_EQ(*run(context), "0 to 99");
    EXPECT_EQ(asked_.size(), whole);
  }
}

TEST_F(MapReduceTest, WhatCannotFitIsSaid) {
  spec_.prompt_tokens = 2;
  FakeJobContext context(foreman_, {});
  EXPECT_EQ(run(context).error().code, Code::kDoesNotFit);
  spec_.prompt_tokens = 7;  // a part fits, two answers ("0 to 0") do not
  foreman_.worker.answer = [&](const nlohmann::json&) { return chat_events("one two three four"); };
  const Result<std::string> got = run(context);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kDoesNotFit);
  EXPECT_NE(got.error().message.find("two answers"), std::string::npos) << got.error().message;
}

TEST_F(MapReduceTest, AnUntellingWorkerGetsShorterParts) {
  foreman_.worker.tokenizes = false;
  foreman_.known[0].placement.context = 400;
  FakeJobContext context(foreman_, {});
  EXPECT_EQ(*run(context), "0 to 99");
  for (const std::string& prompt : asked_) EXPECT_LE(prompt.size(), 400U);
}

}  // namespace
}  // namespace gantry
