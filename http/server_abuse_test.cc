// What strangers do to a server: limits, slowness, garbage, smuggling.
#include <gtest/gtest.h>

#include <sstream>

#include "http/test_peer.h"

namespace gantry::http {
namespace {

ServerOptions on_loopback() {
  ServerOptions options;
  options.listen = {loopback_any()};
  return options;
}

class Abuse : public testing::Test {
 protected:
  void start(ServerOptions options) {
    auto server = serve(std::move(options), [this](Exchange& exchange) {
      ++handled_;
      Response response;
      response.body = "answered " + std::to_string(exchange.request().body.size());
      exchange.reply(std::move(response));
    });
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  const Address address() { return server_->addresses()[0]; }
  // The status of the first answer to these bytes; 0: closed without one.
  int status_of(std::string_view bytes, bool half_close = true) {
    RawPeer peer(address());
    peer.send(bytes);
    if (half_close) peer.half_close();
    const std::string all = peer.read_all();
    return all.starts_with("HTTP/1.1 ") ? std::stoi(all.substr(9, 3)) : 0;
  }
  static std::string post(size_t size) {
    return "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " +
           std::to_string(size) + "\r\n\r\n" + std::string(size, 'x');
  }

  std::atomic<int> handled_{0};
  std::unique_ptr<Server> server_;
};

TEST_F(Abuse, BodyLimitAtNAndNPlusOne) {
  auto options = on_loopback();
  options.body_max = Bytes{1000};
  start(std::move(options));
  EXPECT_EQ(status_of(post(1000)), 200);
  EXPECT_EQ(status_of(post(1001)), 413);
  EXPECT_EQ(handled_, 1);
}

TEST_F(Abuse, ATooLargeBodyIsRefusedUnread) {
  start(on_loopback());
  RawPeer peer(address());
  peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
  EXPECT_TRUE(peer.read_all().starts_with("HTTP/1.1 413 "));
}

TEST_F(Abuse, HeadLimitAtNAndNPlusOne) {
  auto options = on_loopback();
  options.header_max = Bytes{500};
  start(std::move(options));
  const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ";
  const std::string end = "\r\n\r\n";
  const auto sized = [&](size_t n) {
    return begin + std::string(n - begin.size() - end.size(), 'x') + end;
  };
  EXPECT_EQ(status_of(sized(500)), 200);
  EXPECT_EQ(status_of(sized(501)), 431);
}

TEST_F(Abuse, ConnectionLimitAtNAndNPlusOne) {
  auto options = on_loopback();
  options.connections_max = 3;
  start(std::move(options));
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<RawPeer>(address()));
    peers.back()->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_NE(peers.back()->read_until_text("answered 0").find(" 200 "), std::string::npos);
  }
  RawPeer fourth(address());
  const std::string all = fourth.read_all();
  EXPECT_TRUE(all.starts_with("HTTP/1.1 503 ")) << all;
  EXPECT_NE(all.find("Retry-After: 1\r\n"), all.npos);
  peers.pop_back();
  for (int i = 0; i < 5'000 && server_->connections() > 2; ++i) {
    std::this_thread::sleep_for(Millis{2});
  }
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 200);
}

TEST_F(Abuse, BodiesOfAllTogetherAreBounded) {
  auto options = on_loopback();
  options.bodies_max = KiB(256);
  start(std::move(options));
  RawPeer first(address());
  // Most of the room is taken by a body that does not end.
  first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" +
             std::string(100'000, 'x'));
  RawPeer second(address());
  second.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" +
              std::string(299'999, 'x'));
  const std::string all = second.read_all();
  EXPECT_TRUE(all.starts_with("HTTP/1.1 503 ")) << all;
  EXPECT_NE(all.find("Retry-After"), all.npos);
  first.close();
  second.close();
  EXPECT_EQ(status_of(post(1000)), 200) << "the room is free again";
}

TEST_F(Abuse, SlowHeadsAndBodiesAreEnded) {
  auto options = on_loopback();
  options.idle_timeout = Millis{100};
  start(std::move(options));
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nX", false), 408);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", false), 408);
  EXPECT_EQ(status_of("", false), 0) << "nothing was asked, nothing is answered";
  EXPECT_EQ(handled_, 0);
}

TEST_F(Abuse, ByteByByteDoesNotBuyTime) {
  auto options = on_loopback();
  options.idle_timeout = Millis{200};
  start(std::move(options));
  RawPeer peer(address());
  Cancel ended{false};
  std::thread dripping([&] {
    peer.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while (!ended && peer.send("x")) std::this_thread::sleep_for(Millis{10});
  });
  EXPECT_TRUE(peer.read_all().starts_with("HTTP/1.1 408 "));
  ended = true;
  dripping.join();
  EXPECT_EQ(handled_, 0);
}

TEST_F(Abuse, TruncatedRequestsNeverReachTheHandler) {
  start(on_loopback());
  const std::string whole = post(5);
  for (size_t n = 1; n < whole.size(); n += 3) {
    EXPECT_EQ(status_of(std::string_view(whole).substr(0, n)), 400) << n;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(Abuse, GarbageIsRefused) {
  start(on_loopback());
  std::string noise;
  uint32_t state = 1;
  for (int i = 0; i < 5000; ++i) {
    state = state * 1664525 + 1013904223;
    noise += static_cast<char>(state >> 24);
  }
  EXPECT_EQ(status_of(noise), 400);
  EXPECT_EQ(status_of(std::string("\x16\x03\x01\x00\xa5\x01\x00\x00", 8)), 400);
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(handled_, 0);
}

TEST_F(Abuse, NothingIsSmuggledBehindARefusedRequest) {
  start(on_loopback());
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string heads[] = {
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
      "GET / HTTP/1.1\nHost: a\n\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
  };
  for (const std::string& head : heads) {
    RawPeer peer(address());
    peer.send(head + hidden);
    const std::string all = peer.read_all();
    EXPECT_EQ(all.find("HTTP/1.1 ", 1), all.npos) << "one answer and the end: " << all;
    EXPECT_TRUE(all.starts_with("HTTP/1.1 400 ") || all.starts_with("HTTP/1.1 501 ")) << all;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(Abuse, TheRefusalsBodyIsTheServersOwnersChoice) {
  auto options = on_loopback();
  options.body_max = Bytes{1};
  options.refuse = [](int status, std::string_view cause) {
    Response response;
    response.headers = {{"Content-Type", "application/json"}};
    response.body = "{\"" + std::to_string(status) + "\":\"" + std::string(cause) + "\"}";
    return response;
  };
  start(std::move(options));
  auto response = fetch(address(), {"POST", "/", {}, "xx"}, {});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(response->body, "{\"413\":\"the body is too large\"}");
}

TEST_F(Abuse, ClientsThatComeAndGoLeaveNothing) {
  start(on_loopback());
  for (int i = 0; i < 300; ++i) {
    RawPeer peer(address());
    if (i % 3 == 0) peer.send("GET / HT");
    if (i % 3 == 1) peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  for (int i = 0; i < 5'000 && server_->connections() > 0; ++i) {
    std::this_thread::sleep_for(Millis{2});
  }
  EXPECT_EQ(server_->connections(), 0u);
}

}  // namespace
}  // namespace gantry::http
