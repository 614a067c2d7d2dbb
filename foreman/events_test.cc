// Events: past and coming, bounded, for slow and quick readers.
#include "foreman/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/limits.h"

namespace gantry {
namespace {

using testing::ElementsAre;

class EventsTest : public testing::Test {
 protected:
  // All lines of a job that has ended or does end.
  std::vector<std::string> all(const std::string& job) {
    std::vector<std::string> lines;
    events_.follow(job, stays_, [] { return false; }, [&](const std::string& line) {
      lines.push_back(line);
      return true;
    });
    return lines;
  }
  Events events_;
  const http::Cancel stays_{false};
};

TEST_F(EventsTest, PastEventsThenTheEnd) {
  events_.add("j", "1");
  events_.add("other", "x");
  events_.add("j", "2");
  events_.end("j");
  events_.add("j", "too late");
  EXPECT_THAT(all("j"), ElementsAre("1", "2"));
  EXPECT_THAT(all("j"), ElementsAre("1", "2"));
}

TEST_F(EventsTest, LiveEventsReachSeveralReaders) {
  std::vector<std::future<std::vector<std::string>>> readers;
  for (int i = 0; i < 3; ++i) {
    readers.push_back(std::async(std::launch::async, [&] { return all("j"); }));
  }
  for (int i = 0; i < 100; ++i) events_.add("j", std::to_string(i));
  events_.end("j");
  for (auto& reader : readers) EXPECT_EQ(reader.get().size(), 100U);
}

TEST_F(EventsTest, OldEventsGoAndASlowReaderIsTold) {
  std::vector<std::string> lines;
  events_.add("j", "first");
  events_.follow("j", stays_, [] { return false; }, [&](const std::string& line) {
    if (line == "first") {
      for (uint32_t i = 0; i <= kJobEventsMax; ++i) events_.add("j", "x");
      events_.end("j");
    }
    lines.push_back(line);
    return true;
  });
  // "first" was read and dropped, and one "x" was dropped unread.
  ASSERT_EQ(lines.size(), 1 + 1 + kJobEventsMax);
  EXPECT_EQ(lines[1], R"({"type":"skipped","count":1})");
  EXPECT_EQ(all("j").size(), kJobEventsMax);
}

TEST_F(EventsTest, AnEventAtTheLimitAndOneOver) {
  events_.add("j", std::string(kJobEventMax.n, 'x'));
  events_.add("j", std::string(kJobEventMax.n + 1, 'y'));
  events_.end("j");
  EXPECT_EQ(all("j").size(), 1U);
}

TEST_F(EventsTest, OnlyTheNewestProgressIsTold) {
  for (int i = 0; i < 1000; ++i) events_.progress("j", "progress " + std::to_string(i));
  std::vector<std::string> lines;
  events_.follow("j", stays_, [] { return false; }, [&](const std::string& line) {
    lines.push_back(line);
    return false;
  });
  EXPECT_THAT(lines, ElementsAre("progress 999"));
}

TEST_F(EventsTest, AReaderLeavesWhenItIsGoneOrTheJobIsOverElsewhere) {
  const http::Cancel gone{true};
  events_.follow("j", gone, [] { return false; }, [](const std::string&) { return true; });
  events_.follow("k", stays_, [] { return true; }, [](const std::string&) { return true; });
}

TEST_F(EventsTest, EndedJobsAreForgottenInOrder) {
  for (size_t i = 0; i <= kEndedJobsKept; ++i) {
    events_.add(std::to_string(i), "x");
    events_.end(std::to_string(i));
  }
  bool told = false;
  const auto tell = [&](const std::string&) { return told = true; };
  events_.follow("0", stays_, [] { return true; }, tell);
  EXPECT_FALSE(told);
  events_.follow("1", stays_, [] { return true; }, tell);
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace gantry
