// Tests of fetch against scripted servers.
#include <gtest/gtest.h>

#include "http/test_peer.h"

namespace gantry::http {
namespace {

using Script = RawServer::Script;

Script answering(std::string text) {
  return [text = std::move(text)](int fd) {
    RawServer::hear(fd);
    RawServer::say(fd, text);
  };
}

TEST(Fetch, ReadsAnAnswer) {
  RawServer server(answering("HTTP/1.1 418 Teapot\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi"));
  auto response = fetch(server.address(), {}, {});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 418);
  EXPECT_EQ(response->header("x-a"), "b");
  EXPECT_EQ(response->body, "hi");
}

TEST(Fetch, SendsWhatItWasGiven) {
  std::string heard;
  RawServer server([&](int fd) {
    heard = RawServer::hear(fd);
    RawServer::say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  Request request;
  request.method = "POST";
  request.target = "/x?y=1";
  request.headers = {{"Content-Type", "text/plain"}, {"X-Bad", "a\r\nX-Injected: 1"}};
  request.body = "body";
  ASSERT_TRUE(fetch(server.address(), request, {}));
  EXPECT_TRUE(heard.starts_with("POST /x?y=1 HTTP/1.1\r\n"));
  EXPECT_NE(heard.find("Host: " + server.address().text() + "\r\n"), std::string::npos);
  EXPECT_NE(heard.find("Content-Length: 4\r\n"), std::string::npos);
  EXPECT_EQ(heard.find("\r\nX-Injected"), std::string::npos);
}

TEST(Fetch, RefusesARequestLineThatIsTwo) {
  Request request;
  request.target = "/a HTTP/1.1\r\nX: y";
  auto response = fetch(loopback_any(), request, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::kUsage);
}

TEST(Fetch, PassesPiecesOnAsTheyCome) {
  Cancel first_seen{false};
  RawServer server([&](int fd) {
    RawServer::hear(fd);
    RawServer::say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    // The second piece goes out only after the first has arrived: nothing is held back.
    while (!first_seen) std::this_thread::sleep_for(Millis{1});
    RawServer::say(fd, "3\r\ntwo\r\n0\r\n\r\n");
  });
  FetchOptions options;
  std::string all;
  int status = 0;
  options.on_head = [&](const Response& head) {
    status = head.status;
    return true;
  };
  options.on_piece = [&](std::string_view piece) {
    EXPECT_EQ(status, 200);
    all += piece;
    first_seen = true;
    return true;
  };
  auto response = fetch(server.address(), {}, options);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(all, "onetwo");
  EXPECT_EQ(response->body, "");
}

TEST(Fetch, EndsWhenTheReaderWantsNoMore) {
  RawServer server(answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhi"));
  FetchOptions options;
  options.on_piece = [](std::string_view) { return false; };
  EXPECT_EQ(fetch(server.address(), {}, options).error().code, Code::kCancelled);
  options.on_head = [](const Response&) { return false; };
  EXPECT_EQ(fetch(server.address(), {}, options).error().code, Code::kCancelled);
}

TEST(Fetch, ReportsAPieceBeforeTheFaultBehindIt) {
  RawServer server(answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial"));
  FetchOptions options;
  std::string all;
  options.on_piece = [&](std::string_view piece) {
    all += piece;
    return true;
  };
  auto response = fetch(server.address(), {}, options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_EQ(all, "partial");
}

TEST(Fetch, NamesEveryFault) {
  const auto code = [](Script script, FetchOptions options = {}) {
    RawServer server(std::move(script));
    auto response = fetch(server.address(), {}, options);
    return response ? std::string("fine") : std::string(code_name(response.error().code));
  };
  EXPECT_EQ(code([](int fd) { RawServer::hear(fd); }), "unavailable");
  EXPECT_EQ(code(answering("nonsense\r\n\r\n")), "corrupt");
  FetchOptions small;
  small.body_max = Bytes{4};
  const Script five = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(code(five, small), "too_large");
  small.body_max = Bytes{5};
  EXPECT_EQ(code(five, small), "fine");
  FetchOptions hasty;
  hasty.idle_timeout = Millis{30};
  const Script silent = [](int fd) {
    RawServer::hear(fd);
    RawServer::hear(fd);  // until the other side gives up
  };
  EXPECT_EQ(code(silent, hasty), "timeout");
}

TEST(Fetch, HonoursCancelWhileWaiting) {
  Cancel cancel{false};
  RawServer server([&](int fd) {
    RawServer::hear(fd);
    cancel = true;
    char byte = 0;
    (void)receive_some(fd, &byte, 1, {kTestPatience, nullptr, nullptr});  // until it hangs up
  });
  FetchOptions options;
  options.cancel = &cancel;
  auto response = fetch(server.address(), {}, options);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::kCancelled);
}

TEST(Fetch, ReadsAnEarlyRefusalOfALargeBody) {
  RawServer server([](int fd) {
    RawServer::hear(fd);
    RawServer::say(fd, "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nbig");
    (void)::shutdown(fd, SHUT_WR);
    char buffer[65536];
    while (receive_some(fd, buffer, sizeof(buffer), {kTestPatience, nullptr, nullptr}).value_or(0) >
           0) {
    }
  });
  Request request;
  request.method = "POST";
  request.body = std::string(8 << 20, 'x');
  auto response = fetch(server.address(), request, {});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 413);
}

// It reads no more, says nothing and does not leave either.
TEST(Fetch, WaitsForNoAnswerToHalfARequest) {
  TestDir dir;
  Cancel answered{false};
  RawServer server(
      [&](int fd) {
        RawServer::hear(fd);
        (void)::shutdown(fd, SHUT_RD);
        char rest[65536];  // what was sent before makes room for what will not be taken
        while (::recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0) {
        }
        while (!answered && !server.stopping()) std::this_thread::sleep_for(Millis{2});
      },
      *parse_address("unix:" + dir.file("door")));
  Request request;
  request.method = "POST";
  request.body = std::string(8 << 20, 'x');
  FetchOptions options;
  options.idle_timeout = kTestPatience;
  auto response = fetch(server.address(), request, options);
  answered = true;
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::kUnavailable) << response.error().message;
}

}  // namespace
}  // namespace gantry::http
