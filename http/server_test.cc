// Tests of the server with real sockets.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "http/test_peer.h"

namespace gantry::http {
namespace {

ServerOptions on_loopback() {
  ServerOptions options;
  options.listen = {loopback_any()};
  return options;
}

std::unique_ptr<Server> start(ServerOptions options, Handler handler) {
  auto server = serve(std::move(options), std::move(handler));
  EXPECT_TRUE(server) << server.error().message;
  return std::move(*server);
}

void echo(Exchange& exchange) {
  const Request& request = exchange.request();
  Response response;
  response.headers = {{"Content-Type", "text/plain"}};
  response.body = request.method + " " + request.target + " " + request.body;
  exchange.reply(std::move(response));
}

Request post(std::string body) {
  Request request;
  request.method = "POST";
  request.target = "/echo";
  request.body = std::move(body);
  return request;
}

void wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(Millis{2});
  EXPECT_TRUE(condition());
}

TEST(Server, AnswersOverTcpAndUnixSockets) {
  TestDir dir;
  auto options = on_loopback();
  options.listen.push_back(*parse_address("unix:" + dir.file("s")));
  auto server = start(std::move(options), [](Exchange& exchange) {
    Response response;
    response.body = exchange.local() ? "local" : "tcp";
    response.body += " " + exchange.peer_of().text();
    exchange.reply(std::move(response));
  });
  ASSERT_EQ(server->addresses().size(), 2u);
  const auto addresses = server->addresses();
  EXPECT_EQ(fetch(addresses[0], {}, {})->body, "tcp " + addresses[0].text());
  EXPECT_EQ(fetch(addresses[1], {}, {})->body, "local " + addresses[1].text());
  struct stat info {};
  ASSERT_EQ(::stat(addresses[1].unix_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  server->stop();
  EXPECT_NE(::stat(addresses[1].unix_path.c_str(), &info), 0) << "removed at stop";
}

TEST(Server, KeepsConnectionsAndAnswersPipelinedRequestsInOrder) {
  auto server = start(on_loopback(), echo);
  RawPeer peer(server->addresses()[0]);
  std::string burst;
  for (int i = 0; i < 20; ++i) {
    const std::string body = "body" + std::to_string(i);
    burst += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: " +
             std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  burst += "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  ASSERT_TRUE(peer.send(burst));
  const std::string all = peer.read_all();
  size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    const std::string n = std::to_string(i);
    at = all.find("POST /" + n + " body" + n, at);
    ASSERT_NE(at, all.npos) << i;
  }
  EXPECT_NE(all.find("GET /last", at), all.npos);
}

TEST(Server, HeadHasALengthAndNoBody) {
  auto server = start(on_loopback(), echo);
  RawPeer peer(server->addresses()[0]);
  peer.send("HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string all = peer.read_all();
  EXPECT_NE(all.find("Content-Length: 8\r\n"), all.npos) << all;
  EXPECT_TRUE(all.ends_with("\r\n\r\n"));
}

TEST(Server, ContinuesWhenAsked) {
  auto server = start(on_loopback(), echo);
  RawPeer peer(server->addresses()[0]);
  peer.send(
      "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
      "Connection: close\r\n\r\n");
  EXPECT_EQ(peer.read_until_text("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  peer.send("hi");
  EXPECT_NE(peer.read_all().find("POST /x hi"), std::string::npos);
}

TEST(Server, StreamsInChunks) {
  Cancel first_read{false};
  auto server = start(on_loopback(), [&](Exchange& exchange) {
    ASSERT_TRUE(exchange.begin({200, {{"Content-Type", "text/event-stream"}}, {}}));
    ASSERT_TRUE(exchange.write("one"));
    while (!first_read) std::this_thread::sleep_for(Millis{1});
    ASSERT_TRUE(exchange.write(""));  // not an end
    ASSERT_TRUE(exchange.write("two"));
  });
  FetchOptions options;
  std::string all;
  options.on_piece = [&](std::string_view piece) {
    all += piece;
    first_read = true;
    return true;
  };
  auto response = fetch(server->addresses()[0], {}, options);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(all, "onetwo");
}

TEST(Server, StreamsUntilCloseToHttp10) {
  auto server = start(on_loopback(), [](Exchange& exchange) {
    ASSERT_TRUE(exchange.begin({}));
    ASSERT_TRUE(exchange.write("plain"));
  });
  RawPeer peer(server->addresses()[0]);
  peer.send("GET / HTTP/1.0\r\n\r\n");
  const std::string all = peer.read_all();
  EXPECT_EQ(all.find("chunked"), all.npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\nplain"));
}

TEST(Server, StreamIsHeldBackByASlowReader) {
  Cancel finished{false};
  std::atomic<size_t> written = 0;
  constexpr size_t kPieces = 512;
  const std::string piece(64 << 10, 'x');
  auto server = start(on_loopback(), [&](Exchange& exchange) {
    ASSERT_TRUE(exchange.begin({}));
    for (size_t i = 0; i < kPieces; ++i) {
      if (!exchange.write(piece)) return;
      ++written;
    }
    finished = true;
  });
  RawPeer peer(server->addresses()[0]);
  peer.send("GET / HTTP/1.0\r\n\r\n");
  // Until nothing moves any more.
  for (size_t before = kPieces; before != written;) {
    before = written;
    std::this_thread::sleep_for(Millis{50});
  }
  EXPECT_FALSE(finished) << "32 MiB cannot have gone anywhere: nobody has read";
  EXPECT_GT(peer.read_all().size(), kPieces * piece.size());
  wait_for([&] { return finished.load(); });
}

TEST(Server, TellsTheHandlerThatTheClientHasLeft) {
  Cancel began{false};
  Cancel seen{false};
  auto server = start(on_loopback(), [&](Exchange& exchange) {
    began = true;
    while (!exchange.gone()) std::this_thread::sleep_for(Millis{1});
    EXPECT_FALSE(exchange.begin({}));
    seen = true;
  });
  RawPeer peer(server->addresses()[0]);
  peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  wait_for([&] { return began.load(); });
  peer.close();
  wait_for([&] { return seen.load(); });
}

TEST(Server, WritingToAClientThatLeftMidStreamFails) {
  Cancel ended{false};
  TestDir dir;
  auto options = on_loopback();
  options.listen = {*parse_address("unix:" + dir.file("s"))};
  auto server = start(std::move(options), [&](Exchange& exchange) {
    ASSERT_TRUE(exchange.begin({}));
    while (true) {
      auto written = exchange.write("again");
      if (written) continue;
      EXPECT_EQ(written.error().code, Code::kCancelled);
      break;
    }
    ended = true;
  });
  RawPeer peer(server->addresses()[0]);
  peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  peer.read_until_text("again");
  peer.close();
  wait_for([&] { return ended.load(); });
  wait_for([&] { return server->connections() == 0; });
}

TEST(Server, AnswersAClientThatOnlyClosedItsSendingHalf) {
  auto server = start(on_loopback(), [](Exchange& exchange) {
    while (!exchange.gone()) std::this_thread::sleep_for(Millis{1});
    echo(exchange);
  });
  RawPeer peer(server->addresses()[0]);
  peer.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
  peer.half_close();
  EXPECT_NE(peer.read_all().find("GET /half"), std::string::npos);
}

TEST(Server, StopEndsStreamsAndWaitsForHandlers) {
  Cancel streaming{false};
  std::atomic<int> left = 0;
  auto server = start(on_loopback(), [&](Exchange& exchange) {
    ASSERT_TRUE(exchange.begin({}));
    streaming = true;
    while (exchange.write("x")) std::this_thread::sleep_for(Millis{1});
    ++left;
  });
  const Address address = server->addresses()[0];
  std::string all;
  std::thread reader([&] {
    RawPeer peer(address);
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    all = peer.read_all();
  });
  wait_for([&] { return streaming.load(); });
  server->stop();
  EXPECT_EQ(left, 1);
  reader.join();
  EXPECT_FALSE(all.ends_with("0\r\n\r\n")) << "cut, and must look cut";
  EXPECT_FALSE(fetch(address, {}, {}));
  server->stop();  // twice is fine
}

TEST(Server, AHandlerThatThrowsOrForgetsGets500) {
  auto server = start(on_loopback(), [](Exchange& exchange) {
    if (exchange.request().path() == "/throw") (void)std::stoi("boom");
  });
  Request request;
  for (const char* target : {"/throw", "/forget"}) {
    request.target = target;
    auto response = fetch(server->addresses()[0], request, {});
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 500) << target;
    EXPECT_EQ(response->body.find("stoi"), std::string::npos);
  }
}

TEST(Server, AStreamThatThrowsLooksCut) {
  auto server = start(on_loopback(), [](Exchange& exchange) {
    (void)exchange.begin({});
    (void)exchange.write("part");
    (void)std::stoi("boom");
  });
  auto response = fetch(server->addresses()[0], {}, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::kUnavailable);
}

TEST(Server, AdmitSeesTheHeadBeforeTheBody) {
  std::atomic<int> handled = 0;
  auto options = on_loopback();
  options.admit = [](const Request& head, const Address& via) -> std::optional<Response> {
    EXPECT_EQ(head.body, "");
    EXPECT_NE(via.port, 0);
    if (head.header("X-Key") == "right") return std::nullopt;
    return Response{401, {{"X-Why", "key"}}, "no"};
  };
  auto server = start(std::move(options), [&](Exchange& exchange) {
    ++handled;
    echo(exchange);
  });
  RawPeer peer(server->addresses()[0]);
  // The body never comes, and the answer does not wait for it.
  peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  const std::string all = peer.read_all();
  EXPECT_TRUE(all.starts_with("HTTP/1.1 401 ")) << all;
  EXPECT_EQ(handled, 0);
  Request request = post("x");
  request.headers = {{"X-Key", "right"}};
  EXPECT_EQ(fetch(server->addresses()[0], request, {})->status, 200);
}

TEST(Server, ASecondServerOnThePortIsRefused) {
  auto server = start(on_loopback(), echo);
  ServerOptions options;
  options.listen = server->addresses();
  auto second = serve(std::move(options), echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
}

TEST(Server, TwoHundredConnectionsAtOnce) {
  auto server = start(on_loopback(), echo);
  const Address address = server->addresses()[0];
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 200; ++i) peers.push_back(std::make_unique<RawPeer>(address));
  wait_for([&] { return server->connections() == 200; });
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string n = std::to_string(round) + "-" + std::to_string(i);
      peers[static_cast<size_t>(i)]->send("GET /" + n + " HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < 200; ++i) {
      const std::string wanted = "GET /" + std::to_string(round) + "-" + std::to_string(i) + " ";
      const std::string all = peers[static_cast<size_t>(i)]->read_until_text(wanted);
      EXPECT_NE(all.find(wanted), all.npos) << i;
    }
  }
  peers.clear();
  wait_for([&] { return server->connections() == 0; });
}

}  // namespace
}  // namespace gantry::http
