// Tests of addresses, queries and percent-decoding.
#include "http/message.h"

#include <gtest/gtest.h>

namespace gantry::http {
namespace {

TEST(Address, ReadsHostAndPort) {
  EXPECT_EQ(parse_address("127.0.0.1:8484")->text(), "127.0.0.1:8484");
  EXPECT_EQ(parse_address("[::1]:80")->text(), "[::1]:80");
  EXPECT_EQ(parse_address("[::1]:80")->host, "::1");
  EXPECT_EQ(parse_address("gantry.lan:65535")->port, 65535);
  EXPECT_EQ(parse_address("localhost:1")->text(), "127.0.0.1:1");
  EXPECT_EQ(parse_address("http://127.0.0.1:8484/")->text(), "127.0.0.1:8484");
  EXPECT_EQ(parse_address("unix:/run/gantry/api.sock")->unix_path, "/run/gantry/api.sock");
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text :
       {"", ":", "8484", "127.0.0.1", "127.0.0.1:", ":8484", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:80x", "::1:80", "[::1]", "[::1:80", "[nonsense]:80", "a b:80", "unix:",
        "host/path:80", "https://127.0.0.1:8484", "http://unix:80/"}) {
    auto address = parse_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, Code::kUsage) << text;
    EXPECT_FALSE(address.error().remedy.empty()) << text;
  }
}

TEST(Address, UnixPathHoldsTo107Characters) {
  EXPECT_TRUE(parse_address("unix:/" + std::string(106, 'a')));
  EXPECT_FALSE(parse_address("unix:/" + std::string(107, 'a')));
}

TEST(Address, KnowsLoopback) {
  EXPECT_TRUE(parse_address("127.0.0.1:1")->loopback());
  EXPECT_TRUE(parse_address("127.9.9.9:1")->loopback());
  EXPECT_TRUE(parse_address("[::1]:1")->loopback());
  EXPECT_TRUE(parse_address("unix:/x")->loopback());
  EXPECT_FALSE(parse_address("0.0.0.0:1")->loopback());
  EXPECT_FALSE(parse_address("[::]:1")->loopback());
  EXPECT_FALSE(parse_address("192.168.1.2:1")->loopback());
  EXPECT_FALSE(parse_address("localhost.evil.example:1")->loopback());
}

TEST(Message, PercentDecoding) {
  EXPECT_EQ(percent_decode("a%20b%2Fc", false), "a b/c");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("a+b", false), "a+b");
  EXPECT_EQ(percent_decode("%", false), std::nullopt);
  EXPECT_EQ(percent_decode("%4", false), std::nullopt);
  EXPECT_EQ(percent_decode("%zz", false), std::nullopt);
}

TEST(Message, QueriesAndPaths) {
  Request request;
  request.target = "/v1/jobs?limit=5&name=a%26b&empty=&flag";
  EXPECT_EQ(request.path(), "/v1/jobs");
  EXPECT_EQ(request.query("limit"), "5");
  EXPECT_EQ(request.query("name"), "a&b");
  EXPECT_EQ(request.query("empty"), "");
  EXPECT_EQ(request.query("flag"), "");
  EXPECT_EQ(request.query("other"), std::nullopt);
  request.target = "/plain";
  EXPECT_EQ(request.path(), "/plain");
  EXPECT_EQ(request.query("limit"), std::nullopt);
  request.target = "/x?a=%zz&a=2";
  EXPECT_EQ(request.query("a"), std::nullopt);
}

TEST(Message, HeadersIgnoreCase) {
  Request request;
  request.headers = {{"Content-Type", "text/plain"}, {"content-type", "second"}};
  EXPECT_EQ(request.header("CONTENT-TYPE"), "text/plain");
  EXPECT_EQ(request.header("Content"), "");
}

TEST(Message, PrintableHidesControlBytesAndCuts) {
  EXPECT_EQ(printable("a\x1b[0mb\xff"), "a?[0mb?");
  EXPECT_EQ(printable(std::string(101, 'x')), std::string(100, 'x') + "...");
}

}  // namespace
}  // namespace gantry::http
