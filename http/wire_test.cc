// Tests of heads as they go over the wire.
#include "http/wire.h"

#include <gtest/gtest.h>

namespace gantry::http {
namespace {

TEST(Wire, HeadersCannotStartAnotherLine) {
  EXPECT_EQ(header_lines({{"X-A", "one\r\nX-B: two"}}, {}), "X-A: one  X-B: two\r\n");
  EXPECT_EQ(header_lines({{"X-A\r\nX-B", "one"}, {"", "x"}, {"a b", "x"}}, {}), "");
  EXPECT_EQ(header_lines({{"connection", "close"}, {"X", "1"}}, {"Connection"}), "X: 1\r\n");
}

TEST(Wire, ResponseHeads) {
  Response response;
  response.headers = {{"Content-Type", "text/plain"}, {"Content-Length", "999"}};
  EXPECT_EQ(response_head(response, Framing::kLength, 3, true),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
            "Connection: keep-alive\r\n\r\n");
  EXPECT_EQ(response_head(response, Framing::kChunked, 0, false),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n");
  response = {};
  response.status = 204;
  EXPECT_EQ(response_head(response, Framing::kLength, 0, true),
            "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
}

TEST(Wire, Chunks) {
  EXPECT_EQ(chunk_of("hello"), "5\r\nhello\r\n");
  EXPECT_EQ(chunk_of(std::string(26, 'a')), "1a\r\n" + std::string(26, 'a') + "\r\n");
}

}  // namespace
}  // namespace gantry::http
