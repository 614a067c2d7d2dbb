// Tests of the matching of routes.
#include "serve/routes.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

constexpr Pattern kPatterns[] = {
    {"GET", "/a"}, {"POST", "/a"}, {"GET", "/jobs/{}"}, {"POST", "/jobs/{}/cancel"},
    {"GET", "/logs/{*}"},
};

Match match(std::string_view method, std::string_view path) {
  return match_route(kPatterns, method, path);
}

TEST(Routes, MatchMethodAndPath) {
  EXPECT_EQ(match("GET", "/a").row, 0u);
  EXPECT_EQ(match("HEAD", "/a").row, 0u);
  EXPECT_EQ(match("POST", "/a").row, 1u);
  EXPECT_EQ(match("GET", "/jobs/x").row, 2u);
  EXPECT_EQ(match("GET", "/jobs/x").argument, "x");
  EXPECT_EQ(match("POST", "/jobs/x/cancel").row, 3u);
  EXPECT_EQ(match("POST", "/jobs/x/cancel").argument, "x");
  EXPECT_EQ(match("GET", "/logs/org/model%3A8b").argument, "org/model:8b");
}

TEST(Routes, DoNotMatchWhatIsAlmostThere) {
  for (const char* path : {"/", "", "/a/", "/ab", "/jobs", "/jobs/", "/jobs/x/y", "/jobs//cancel",
                           "/logs/", "/jobs/%zz", "//a"}) {
    EXPECT_FALSE(match("GET", path).row) << path;
    EXPECT_EQ(match("GET", path).allow, "") << path;
  }
}

TEST(Routes, TellTheMethodsThatAPathHas) {
  EXPECT_FALSE(match("PUT", "/a").row);
  EXPECT_EQ(match("PUT", "/a").allow, "GET, POST");
  EXPECT_EQ(match("GET", "/jobs/x/cancel").allow, "POST");
}

}  // namespace
}  // namespace gantry
