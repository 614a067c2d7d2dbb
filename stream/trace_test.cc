// Tests of the trace: JSON that viewers take, whatever names and numbers come.
#include "stream/trace.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "stream/test_bench.h"

namespace gantry {
namespace {

using nlohmann::json;
using std::chrono::microseconds;

json written(Trace& trace, const std::string& path) {
  const auto ok = trace.write();
  EXPECT_TRUE(ok);
  return json::parse(slurp(path));
}

std::vector<json> complete_events(const json& trace) {
  std::vector<json> out;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] == "X") out.push_back(event);
  }
  return out;
}

json last_of(const json& trace) { return trace["traceEvents"].back(); }

TEST(Trace, EventsBecomeJson) {
  const TestFolder folder;
  Trace trace(folder.file("trace.json"));
  EXPECT_TRUE(trace.on());
  const Trace::Time start{std::chrono::seconds(5)};
  trace.add(TraceRow::kDisk, "blk.0.q", start, start + microseconds(1500), 4096);
  trace.add(TraceRow::kExperts, "blk.1.up", start + microseconds(10), start + microseconds(10), 0);
  const json out = written(trace, folder.file("trace.json"));
  const auto events = complete_events(out);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["name"], "blk.0.q");
  EXPECT_EQ(events[0]["tid"], 1);
  EXPECT_DOUBLE_EQ(events[0]["ts"], 5e6);
  EXPECT_DOUBLE_EQ(events[0]["dur"], 1500);
  EXPECT_EQ(events[0]["args"]["bytes"], 4096);
  EXPECT_EQ(events[1]["tid"], 5);
  EXPECT_EQ(last_of(out)["args"]["dropped"], 0);
  std::vector<std::string> rows;
  for (const json& event : out["traceEvents"]) {
    if (event["name"] == "thread_name") rows.push_back(event["args"]["name"]);
  }
  EXPECT_EQ(rows, (std::vector<std::string>{"disk", "copy", "compute", "waiting", "experts"}));
}

TEST(Trace, AnyNameIsAName) {
  const TestFolder folder;
  Trace trace(folder.file("trace.json"));
  for (const char* name : {"", "\"", "back\\slash", "line\nbreak\1", "\xff\xfe no UTF-8", "ünï"}) {
    trace.add(TraceRow::kCopy, name, {}, {}, 1);
  }
  EXPECT_EQ(complete_events(written(trace, folder.file("trace.json"))).size(), 6u);
}

TEST(Trace, WritesAnewWhatThereIs) {
  const TestFolder folder;
  Trace trace(folder.file("trace.json"));
  EXPECT_EQ(complete_events(written(trace, folder.file("trace.json"))).size(), 0u);
  for (size_t i = 1; i <= 3; i++) {
    trace.add(TraceRow::kCompute, "n", {}, {}, 0);
    EXPECT_EQ(complete_events(written(trace, folder.file("trace.json"))).size(), i);
  }
}

TEST(Trace, OffDoesNothing) {
  Trace trace("");
  EXPECT_FALSE(trace.on());
  trace.add(TraceRow::kDisk, "n", {}, {}, 1);
  EXPECT_TRUE(trace.write());
}

TEST(Trace, SaysWhyItCannotBeWritten) {
  const TestFolder folder;
  Trace missing(folder.file("no folder/trace.json"));
  missing.add(TraceRow::kDisk, "n", {}, {}, 1);
  const auto refused = missing.write();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound) << describe(refused.error());
  Trace full("/dev/full");
  const auto no_space = full.write();
  ASSERT_FALSE(no_space);
  EXPECT_NE(no_space.error().message.find("/dev/full"), std::string::npos);
}

TEST(Trace, BeyondTheLimitEventsAreCountedNotKept) {
  const TestFolder folder;
  Trace trace(folder.file("trace.json"));
  for (size_t i = 0; i < kTraceEventsMax + 3; i++) trace.add(TraceRow::kDisk, "n", {}, {}, i);
  ASSERT_TRUE(trace.write());
  const std::string bytes = slurp(folder.file("trace.json"));
  EXPECT_NE(bytes.find("\"dropped\":3"), std::string::npos);
  EXPECT_NE(bytes.find("{\"bytes\":" + std::to_string(kTraceEventsMax - 1) + "}"),
            std::string::npos);
  EXPECT_EQ(bytes.find("{\"bytes\":" + std::to_string(kTraceEventsMax) + "}"), std::string::npos);
}

TEST(Trace, AnyThreadMayAdd) {
  const TestFolder folder;
  Trace trace(folder.file("trace.json"));
  const auto add = [&] {
    for (int i = 0; i < 500; i++) trace.add(TraceRow::kCopy, "thread", {}, {}, 1);
  };
  std::thread a(add), b(add);
  a.join();
  b.join();
  EXPECT_EQ(complete_events(written(trace, folder.file("trace.json"))).size(), 1000u);
}

}  // namespace
}  // namespace gantry
