// Minutes: the order of steps, one model at a time, restart without repetition.
#include "pipe/minutes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/fake_os.h"
#include "pipe/fake_job.h"

namespace gantry {
namespace {

// A language model that lists lines ("- line"), joins by putting lists together, and sees "a lamp".
http::Response clerk(const nlohmann::json& body) {
  const nlohmann::json& content = body["messages"][0]["content"];
  if (content.is_array()) return chat_events("- lamp: on\n");
  std::string text = content.get<std::string>();
  const bool join = text.starts_with("Join");
  text.erase(0, text.find('\n') + 1);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out += (join ? "" : "- ") + text.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return chat_events(out);
}

class MinutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    os_.files["/s0.png"] = "\x89PNG\r\n\x1a\n0";
    os_.files["/s1.png"] = "\x89PNG\r\n\x1a\n1";
    foreman_.worker.answer = clerk;
    for (int i = 0; i < 20; ++i) {
      foreman_.worker.heard.push_back(
          {Millis(i * 3000), Millis(i * 3000 + 2000), fmt::format("line {}", i), 1});
    }
  }
  JobSpec spec(std::vector<std::string> files) { return {.kind = "minutes", .files = files}; }

  FakeForemanForPipes foreman_;
  FakeOs& os_ = foreman_.os;
};

TEST_F(MinutesTest, RunsTheModelsInTurn) {
  FakeJobContext context(foreman_, spec({"/a.wav", "/s0.png", "/s1.png"}));
  const Result<std::string> got = make_minutes(os_)->run(context);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(foreman_.open_most, 1);
  EXPECT_EQ(foreman_.opened, (std::vector<std::string>{"micro-asr", "micro-vision",
                                                       "micro-minutes", "micro-minutes"}));
  const nlohmann::json page = nlohmann::json::parse(*got);
  EXPECT_EQ(page["transcript"].size(), 20U);
  EXPECT_EQ(page["parts"].size(), 7U);  // six of 3 lines, one of 2
  EXPECT_EQ(page["screens"][1]["file"], "s1.png");
  EXPECT_EQ(page["screens"][1]["text"], "- lamp: on");
  const std::string minutes = page["minutes"];
  EXPECT_TRUE(minutes.starts_with("- line 0\n- line 1\n"));
  EXPECT_TRUE(minutes.ends_with("- line 19"));
  EXPECT_EQ(std::ranges::count(minutes, '\n'), 19);
  EXPECT_FALSE(context.went_back);
  EXPECT_DOUBLE_EQ(context.last_fraction, 1.0);
}

TEST_F(MinutesTest, ARestartAsksOnlyWhatIsMissing) {
  std::string whole;
  {
    FakeJobContext context(foreman_, spec({"/a.wav", "/s0.png"}));
    whole = *make_minutes(os_)->run(context);
  }
  // Die at every answer in turn; the next run must end with the same page.
  for (int fatal = 0; fatal < 14; ++fatal) {
    FakeJobContext context(foreman_, spec({"/a.wav", "/s0.png"}));
    int asked = 0;
    foreman_.worker.answer = [&](const nlohmann::json& body) {
      return asked++ == fatal ? http::Response{500, {}, "{}"} : clerk(body);
    };
    ASSERT_FALSE(make_minutes(os_)->run(context)) << fatal;
    const int before = asked;
    foreman_.worker.answer = [&](const nlohmann::json& body) {
      ++asked;
      return clerk(body);
    };
    const Result<std::string> again = make_minutes(os_)->run(context);
    ASSERT_TRUE(again);
    EXPECT_EQ(asked, 14 + 1) << "1 screen + 7 parts + 6 joins, and the one that failed";
    EXPECT_EQ(before, fatal + 1);
    nlohmann::json a = nlohmann::json::parse(whole), b = nlohmann::json::parse(*again);
    a.erase("steps");
    b.erase("steps");
    EXPECT_EQ(a, b);
  }
}

TEST_F(MinutesTest, SilenceGivesAnEmptyPage) {
  foreman_.worker.heard.clear();
  FakeJobContext context(foreman_, spec({"/a.wav"}));
  const Result<std::string> got = make_minutes(os_)->run(context);
  ASSERT_TRUE(got);
  EXPECT_NE(render_minutes(*got)->find("nothing was decided"), std::string::npos);
}

TEST_F(MinutesTest, ErrorsOfAStepAreTheJobs) {
  foreman_.refuse["micro-vision"] = {Code::kDoesNotFit, "micro-vision needs 40 MiB", "more"};
  FakeJobContext context(foreman_, spec({"/a.wav", "/s0.png"}));
  EXPECT_EQ(make_minutes(os_)->run(context).error().code, Code::kDoesNotFit);
  EXPECT_TRUE(context.kept.contains("transcript"));
}

TEST_F(MinutesTest, ChecksItsSpec) {
  EXPECT_FALSE(make_minutes(os_)->check({.kind = "minutes"}));
  EXPECT_FALSE(make_minutes(os_)->check(
      {.kind = "minutes", .params = "{\"spech\":\"x\"}", .files = {"/a"}}));
  EXPECT_TRUE(make_minutes(os_)->check(
      {.kind = "minutes", .params = "{\"speech\":\"x\"}", .files = {"/a"}}));
}

TEST(TidyList, KeepsBulletsOnly) {
  EXPECT_EQ(tidy_list("- a \r\n\n- b\n"), "- a\n- b");
  EXPECT_EQ(tidy_list("- no actions\n"), "");
}

TEST(RenderMinutes, APageSaysWhatIsNotToBeTrusted) {
  const auto page = [](const char* low) {
    return *render_minutes(std::string(R"({"minutes":"- radio: stopped","transcript":[)") +
                           R"({"start":0,"end":1,"text":"stop the radio"},)" +
                           R"({"start":2,"end":3,"text":"mumble")" + low + "}]}");
  };
  EXPECT_EQ(page("").find("(?)"), std::string::npos);
  const std::string doubtful = page(R"(,"low_confidence":true)");
  EXPECT_NE(doubtful.find("1 of 2 parts of the transcript"), std::string::npos) << doubtful;
  EXPECT_NE(doubtful.find("0:02.0  (?) mumble"), std::string::npos) << doubtful;
  EXPECT_NE(doubtful.find("0:00.0  stop the radio"), std::string::npos) << doubtful;
}

TEST(RenderMinutes, APageSaysWhoSpokeWhereThatIsKnown) {
  const auto page = render_minutes(
      R"({"minutes":"- radio: stopped","transcript":[)"
      R"({"start":0,"end":1,"text":"stop the radio","speaker":1},)"
      R"({"start":2,"end":3,"text":"mumble","speaker":0,"low_confidence":true},)"
      R"({"start":4,"end":5,"text":"yes"}]})");
  ASSERT_TRUE(page);
  EXPECT_NE(page->find("0:00.0  speaker 2: stop the radio\n"), std::string::npos) << *page;
  EXPECT_NE(page->find("0:02.0  speaker 1: (?) mumble\n"), std::string::npos) << *page;
  EXPECT_NE(page->find("0:04.0  yes\n"), std::string::npos) << *page;
}

TEST(RenderMinutes, DamagedResultsAreErrors) {
  EXPECT_FALSE(render_minutes(""));
  EXPECT_FALSE(render_minutes("{\"minutes\":3}"));
  EXPECT_FALSE(render_minutes("{\"minutes\":\"\",\"screens\":[3]}"));
  EXPECT_FALSE(render_minutes("{\"minutes\":\"\",\"transcript\":[{}]}"));
}

}  // namespace
}  // namespace gantry
