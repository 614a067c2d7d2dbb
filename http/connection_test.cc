// The Exchange over a socket pair, without a server.
#include "http/connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace gantry::http {
namespace {

class OverPair : public testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer_ = Fd(fds[1]);
    connection_ = std::make_unique<Connection>(Fd(fds[0]), via_, ParseLimits{});
  }
  void request(std::string_view text) {
    std::string_view rest = text;
    while (!connection_->parser.done()) {
      const size_t used = connection_->parser.feed(rest);
      ASSERT_NE(used, 0u);
      rest.remove_prefix(used);
    }
    connection_->request = connection_->parser.take();
  }
  std::string received() {
    std::string all;
    char buffer[1024];
    while (true) {
      const ssize_t got = ::recv(peer_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (got <= 0) return all;
      all.append(buffer, static_cast<size_t>(got));
    }
  }

  Address via_ = *parse_address("unix:/x");
  Fd peer_;
  std::unique_ptr<Connection> connection_;
  Cancel hurry_{false};
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(OverPair, TheFirstAnswerCounts) {
  request(kGet);
  WireExchange exchange(*connection_, Millis{1000}, hurry_);
  EXPECT_TRUE(exchange.local());
  exchange.reply({200, {}, "one"});
  exchange.reply({500, {}, "two"});
  EXPECT_FALSE(exchange.begin({}));
  EXPECT_FALSE(exchange.write("three"));
  EXPECT_TRUE(exchange.finish(false));
  const std::string all = received();
  EXPECT_TRUE(all.ends_with("\r\n\r\none")) << all;
}

TEST_F(OverPair, AStreamEndsWithItsLastChunkOnlyWhenItSucceeded) {
  request(kGet);
  {
    WireExchange exchange(*connection_, Millis{1000}, hurry_);
    ASSERT_TRUE(exchange.begin({}));
    ASSERT_TRUE(exchange.write("a"));
    EXPECT_TRUE(exchange.finish(false));
  }
  EXPECT_TRUE(received().ends_with("1\r\na\r\n0\r\n\r\n"));
  WireExchange exchange(*connection_, Millis{1000}, hurry_);
  ASSERT_TRUE(exchange.begin({}));
  ASSERT_TRUE(exchange.write("a"));
  EXPECT_FALSE(exchange.finish(true));
  EXPECT_TRUE(received().ends_with("1\r\na\r\n"));
}

TEST_F(OverPair, AStoppingServerAsksForNoMoreRequests) {
  request(kGet);
  hurry_ = true;
  WireExchange exchange(*connection_, Millis{1000}, hurry_);
  exchange.reply({});
  EXPECT_FALSE(exchange.finish(false));
  EXPECT_NE(received().find("Connection: close"), std::string::npos);
}

TEST_F(OverPair, AReaderThatStopsReadingIsGone) {
  request(kGet);
  WireExchange exchange(*connection_, Millis{30}, hurry_);
  ASSERT_TRUE(exchange.begin({}));
  const std::string piece(1 << 20, 'x');
  Result<void> written;
  for (int i = 0; i < 64 && written; ++i) written = exchange.write(piece);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::kCancelled);
  EXPECT_TRUE(exchange.gone());
  EXPECT_FALSE(exchange.finish(false));
}

}  // namespace
}  // namespace gantry::http
