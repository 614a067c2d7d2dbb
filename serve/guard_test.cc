// Tests of the guard as a pure function; the server's tests drive it over sockets.
#include "serve/guard.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

http::Address at(const std::string& text) { return *http::parse_address(text); }

int status_of(const Guard& guard, http::Headers headers, const std::string& via,
              const std::string& method = "GET") {
  const auto answer = guard.check({method, "/", std::move(headers), {}}, at(via));
  return answer ? answer->status : 200;
}

TEST(Guard, SecretsAreComparedWhole) {
  EXPECT_TRUE(same_secret("", ""));
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_FALSE(same_secret("abc", "abd"));
  EXPECT_FALSE(same_secret("abc", "ab"));
  EXPECT_FALSE(same_secret("ab", "abc"));
  EXPECT_FALSE(same_secret(std::string("a\0", 2), "a"));
}

TEST(Guard, HostsOfEachKindOfAddress) {
  const Guard guard({"", {"name", "other:99"}, {}});
  EXPECT_EQ(status_of(guard, {{"Host", "192.168.1.2:8484"}}, "192.168.1.2:8484"), 200);
  EXPECT_EQ(status_of(guard, {{"Host", "192.168.1.3:8484"}}, "192.168.1.2:8484"), 403);
  EXPECT_EQ(status_of(guard, {{"Host", "[fe80::1]:8484"}}, "[fe80::1]:8484"), 200);
  EXPECT_EQ(status_of(guard, {{"Host", "name"}}, "127.0.0.1:8484"), 200);
  EXPECT_EQ(status_of(guard, {{"Host", "name:8484"}}, "127.0.0.1:8484"), 200);
  EXPECT_EQ(status_of(guard, {{"Host", "name:1"}}, "127.0.0.1:8484"), 403);
  EXPECT_EQ(status_of(guard, {{"Host", "other:99"}}, "127.0.0.1:8484"), 200);
  EXPECT_EQ(status_of(guard, {{"Host", "localhost"}}, "127.0.0.1:80"), 200);
  EXPECT_EQ(status_of(guard, {{"Host", "localhost"}}, "127.0.0.1:81"), 403);
  EXPECT_EQ(status_of(guard, {}, "127.0.0.1:8484"), 403) << "HTTP/1.0 without a Host";
  EXPECT_EQ(status_of(guard, {}, "unix:/s"), 200);
}

TEST(Guard, OriginsAreExact) {
  const Guard guard({"", {}, {"https://app.example"}});
  const http::Headers host = {{"Host", "localhost:8484"}};
  const auto with = [&](const std::string& origin) {
    http::Headers headers = host;
    headers.emplace_back("Origin", origin);
    return status_of(guard, headers, "127.0.0.1:8484");
  };
  EXPECT_EQ(with("https://app.example"), 200);
  EXPECT_EQ(with("http://localhost:8484"), 200);
  EXPECT_EQ(with("http://127.0.0.1:8484"), 200);
  for (const char* origin : {"http://app.example", "https://app.example:444",
                             "https://x.app.example", "https://app.example/", "null", "",
                             "http://localhost", "http://localhost:8485",
                             "https://localhost:8484"}) {
    EXPECT_EQ(with(origin), 403) << origin;
  }
  http::Headers twice = host;
  twice.emplace_back("Origin", "https://app.example");
  twice.emplace_back("Origin", "https://evil.example");
  EXPECT_EQ(status_of(guard, twice, "127.0.0.1:8484"), 403);
}

TEST(Guard, AUnixSocketHasNoOriginOfItsOwn) {
  const Guard guard({"", {}, {"https://app.example"}});
  EXPECT_EQ(status_of(guard, {{"Origin", "http://localhost:0"}}, "unix:/s"), 403);
  EXPECT_EQ(status_of(guard, {{"Origin", "https://app.example"}}, "unix:/s"), 200);
}

TEST(Guard, CorsHeadersAreForListedOriginsOnly) {
  const Guard guard({"", {}, {"https://app.example"}});
  const auto via = at("127.0.0.1:1");
  EXPECT_TRUE(guard.cors({"GET", "/", {{"Origin", "https://evil.example"}}, {}}, via).empty());
  EXPECT_TRUE(guard.cors({"GET", "/", {}, {}}, via).empty());
  EXPECT_FALSE(guard.cors({"GET", "/", {{"Origin", "https://app.example"}}, {}}, via).empty());
}

TEST(Guard, ForeignOriginComesBeforeHostAndKey) {
  const Guard guard({"secret", {}, {}});
  const auto answer = guard.check({"GET", "/", {{"Origin", "http://evil"}, {"Host", "evil"}}, {}},
                                  at("127.0.0.1:1"));
  ASSERT_TRUE(answer);
  EXPECT_NE(answer->body.find("origin_not_allowed"), std::string::npos);
}

TEST(Guard, OnlyARealPreflightGoesWithoutAKey) {
  const Guard guard({"secret", {}, {"https://app.example"}});
  http::Headers headers = {{"Host", "localhost:1"}, {"Origin", "https://app.example"}};
  EXPECT_EQ(status_of(guard, headers, "127.0.0.1:1", "OPTIONS"), 401);
  headers.emplace_back("Access-Control-Request-Method", "POST");
  EXPECT_EQ(status_of(guard, headers, "127.0.0.1:1", "OPTIONS"), 204);
  EXPECT_EQ(status_of(guard, headers, "127.0.0.1:1", "GET"), 401);
}

TEST(Guard, A401SaysHow) {
  const Guard guard({"secret", {}, {}});
  const auto answer = guard.check({"GET", "/", {{"Host", "localhost:1"}}, {}}, at("127.0.0.1:1"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(answer->body.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace gantry
