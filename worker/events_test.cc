// Tests of events on a pipe.
#include "worker/events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

namespace gantry {
namespace {

std::string told(const std::function<Result<void>(const OnEvent&)>& work, int* status) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return "no pipe";
  *status = events_to(ends[1], work);
  ::close(ends[1]);
  std::string out(4096, '\0');
  const ssize_t n = ::read(ends[0], out.data(), out.size());
  ::close(ends[0]);
  out.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return out;
}

TEST(Events, AreLinesInOrder) {
  int status = -1;
  const std::string out = told(
      [](const OnEvent& on_event) -> Result<void> {
        on_event({{"event", "a"}});
        on_event({{"event", "b"}, {"text", "two\nlines"}});
        return {};
      },
      &status);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(out, "{\"event\":\"a\"}\n{\"event\":\"b\",\"text\":\"two\\nlines\"}\n");
}

TEST(Events, AnErrorIsTheLastOne) {
  int status = -1;
  const std::string out = told(
      [](const OnEvent&) -> Result<void> {
        return fail(Code::kUnavailable, "no such device", "look again");
      },
      &status);
  EXPECT_EQ(status, exit_code(Code::kUnavailable));
  const auto event = nlohmann::json::parse(out, nullptr, false);
  ASSERT_TRUE(event.is_object()) << out;
  EXPECT_EQ(event["event"], "error");
  EXPECT_EQ(event["message"], "no such device");
  EXPECT_EQ(event["remedy"], "look again");
  EXPECT_EQ(event["code"], code_name(Code::kUnavailable));
}

}  // namespace
}  // namespace gantry
