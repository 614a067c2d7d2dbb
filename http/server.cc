// The server: one thread (the reactor) accepts, reads requests and watches for clients that leave;
// handlers run and write on a pool. A connection is owned by the reactor and lent to one handler
// at a time; it comes back over `returned_`.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "http/connection.h"
#include "http/message.h"
#include "http/pool.h"
#include "http/wire.h"

namespace gantry::http {

namespace {

constexpr Millis kLinger{2'000};
constexpr Millis kAcceptPause{100};  // after "too many open files"
constexpr int kAcceptBatch = 64;
// A body must come at this rate, after the idle timeout once: a slow sender holds its connection
// and its bytes in our memory.
constexpr uint64_t kBodyBytesPerMilli = 16;

struct Listener {
  Fd fd;
  Address address;
  uint64_t inode = 0;
};

bool send_now(int fd, std::string_view bytes) {
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

class SocketServer final : public Server {
 public:
  SocketServer(ServerOptions options, Handler handler, std::vector<Listener> listeners, Fd wake)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        listeners_(std::move(listeners)),
        wake_(std::move(wake)),
        pool_(std::make_unique<Pool>(options_.threads)) {
    for (const Listener& listener : listeners_) addresses_.push_back(listener.address);
    reactor_ = std::thread([this] { react(); });
  }
  ~SocketServer() override { stop(); }

  std::vector<Address> addresses() const override { return addresses_; }
  uint32_t connections() const override { return open_.load(); }

  void stop() override {
    stopping_ = true;
    wake_up();
    const std::lock_guard lock(stop_mutex_);
    if (reactor_.joinable()) reactor_.join();
    pool_.reset();
  }

 private:
  using Phase = Connection::Phase;

  static Millis now() { return RealClock().steady(); }
  void wake_up() {
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof(one));
  }

  // Reactor thread from here on.
  void react();
  void fill_poll_set();
  int poll_timeout() const;
  void serve_poll_set();
  void accept_from(Listener& listener);
  void add(Fd fd, const Address& via);
  void read_from(Connection& connection);
  void end_of_input(Connection& connection);
  void advance(Connection& connection);
  bool look_at_head(Connection& connection);
  void count_body(Connection& connection);
  void hand_over(Connection& connection);
  void refuse(Connection& connection, int status, std::string_view cause);
  void answer_and_end(Connection& connection, const Response& response);
  void linger(Connection& connection);
  void take_back();
  void next_request(Connection& connection);
  void expire();
  void sweep();
  void close_all();
  void close(Connection& connection) { connection.fd.reset(); }
  ParseLimits limits() const { return {options_.header_max, options_.body_max}; }

  // A handler's thread.
  void handle(Connection& connection);

  const ServerOptions options_;
  const Handler handler_;
  std::vector<Listener> listeners_;
  std::vector<Address> addresses_;
  Fd wake_;
  Cancel stopping_{false};
  std::atomic<uint32_t> open_{0};

  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<pollfd> poll_set_;  // wake, listeners, then connections_ in order
  uint64_t buffered_ = 0;
  Millis accept_after_{0};
  std::array<char, 65536> buffer_;

  std::mutex returned_mutex_;
  std::vector<Connection*> returned_;  // from handlers

  std::mutex stop_mutex_;
  std::unique_ptr<Pool> pool_;
  std::thread reactor_;
};

void SocketServer::react() {
  bool closed = false;
  while (true) {
    if (stopping_ && !closed) {
      close_all();
      closed = true;
    }
    take_back();
    expire();
    sweep();
    if (closed && connections_.empty()) return;
    fill_poll_set();
    const int rc = ::poll(poll_set_.data(), poll_set_.size(), poll_timeout());
    if (rc > 0) serve_poll_set();
  }
}

void SocketServer::fill_poll_set() {
  poll_set_.clear();
  poll_set_.push_back({wake_.get(), POLLIN, 0});
  const bool accepting = now() >= accept_after_;
  for (const Listener& listener : listeners_) {
    poll_set_.push_back({accepting ? listener.fd.get() : -1, POLLIN, 0});
  }
  for (const auto& connection : connections_) {
    if (connection->phase != Phase::kHandling) {
      poll_set_.push_back({connection->fd.get(), POLLIN, 0});
    } else {
      poll_set_.push_back({connection->gone ? -1 : connection->fd.get(), POLLRDHUP, 0});
    }
  }
}

int SocketServer::poll_timeout() const {
  const Millis at = now();
  Millis left{3'600'000};
  if (accept_after_ > at) left = accept_after_ - at;
  for (const auto& connection : connections_) {
    if (connection->phase == Phase::kHandling) continue;
    left = std::min(left, std::max(connection->deadline - at, Millis{0}));
  }
  return static_cast<int>(left.count());
}

void SocketServer::serve_poll_set() {
  if (poll_set_[0].revents != 0) {
    uint64_t ignored = 0;
    (void)!::read(wake_.get(), &ignored, sizeof(ignored));
  }
  const size_t first = 1 + listeners_.size();
  const size_t known = poll_set_.size() - first;  // accepting appends behind these
  for (size_t i = 0; i < known; ++i) {
    if (poll_set_[first + i].revents == 0) continue;
    Connection& connection = *connections_[i];
    if (connection.phase == Phase::kHandling) {
      connection.gone = true;
    } else {
      read_from(connection);
    }
  }
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (poll_set_[1 + i].revents != 0) accept_from(listeners_[i]);
  }
}

void SocketServer::accept_from(Listener& listener) {
  for (int i = 0; i < kAcceptBatch; ++i) {
    Fd fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.open()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        accept_after_ = now() + kAcceptPause;
      }
      return;
    }
    add(std::move(fd), listener.address);
  }
}

void SocketServer::add(Fd fd, const Address& via) {
  const bool full = open_ >= options_.connections_max;
  // Refused ones linger for a moment; beyond as many again, they are simply closed.
  if (full && connections_.size() >= 2 * size_t{options_.connections_max} + 16) return;
  auto connection = std::make_unique<Connection>(std::move(fd), via, limits());
  connection->deadline = now() + options_.idle_timeout;
  connections_.push_back(std::move(connection));
  ++open_;
  if (full) refuse(*connections_.back(), 503, "too many connections");
}

void SocketServer::read_from(Connection& connection) {
  const ssize_t got = ::recv(connection.fd.get(), buffer_.data(), buffer_.size(), 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) close(connection);
    return;
  }
  if (connection.phase == Phase::kLingering) {
    if (got == 0) close(connection);
    return;
  }
  if (got == 0) return end_of_input(connection);
  if (!connection.parser.started()) connection.deadline = now() + options_.idle_timeout;
  connection.input.append(buffer_.data(), static_cast<size_t>(got));
  advance(connection);
}

void SocketServer::end_of_input(Connection& connection) {
  if (!connection.parser.started()) return close(connection);
  refuse(connection, 400, "the request ended too early");
}

void SocketServer::advance(Connection& connection) {
  RequestParser& parser = connection.parser;
  while (true) {
    const bool in_body = connection.head_seen;
    const size_t used = parser.feed(connection.input);
    connection.input.erase(0, used);
    if (parser.refusal()) {
      return refuse(connection, parser.refusal()->status, parser.refusal()->cause);
    }
    if (parser.head_done() && !connection.head_seen && !look_at_head(connection)) return;
    if (in_body) connection.body_bytes += used;
    count_body(connection);
    if (buffered_ > options_.bodies_max.n) {
      return refuse(connection, 503, "too many request bodies at once");
    }
    if (parser.done()) return hand_over(connection);
    if (connection.input.empty()) break;
  }
  if (connection.head_seen) {
    const auto earned = static_cast<int64_t>(connection.body_bytes / kBodyBytesPerMilli);
    connection.deadline = connection.body_since + options_.idle_timeout + Millis{earned};
  }
}

// False: answered already.
bool SocketServer::look_at_head(Connection& connection) {
  connection.head_seen = true;
  connection.body_since = now();
  const RequestParser& parser = connection.parser;
  if (options_.admit) {
    if (auto refusal = options_.admit(parser.request(), *connection.via)) {
      answer_and_end(connection, *refusal);
      return false;
    }
  }
  if (parser.expects_continue() && !parser.done() && connection.input.empty()) {
    (void)send_now(connection.fd.get(), "HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

void SocketServer::count_body(Connection& connection) {
  const uint64_t held = connection.parser.buffered().n;
  buffered_ += held - connection.buffered;
  connection.buffered = held;
}

void SocketServer::hand_over(Connection& connection) {
  connection.request = connection.parser.take();
  connection.keep = false;
  connection.phase = Phase::kHandling;
  pool_->post([this, &connection] { handle(connection); });
}

void SocketServer::handle(Connection& connection) {
  WireExchange exchange(connection, options_.idle_timeout, stopping_);
  bool failed = false;
  try {
    handler_(exchange);
  } catch (const std::exception&) {
    failed = true;
  }
  connection.keep = exchange.finish(failed);
  const std::lock_guard lock(returned_mutex_);
  returned_.push_back(&connection);
  wake_up();
}

void SocketServer::refuse(Connection& connection, int status, std::string_view cause) {
  Response response;
  if (options_.refuse) {
    response = options_.refuse(status, cause);
  } else {
    response.headers = {{"Content-Type", "text/plain"}};
    response.body = std::string(cause) + "\n";
  }
  response.status = status;
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  answer_and_end(connection, response);
}

void SocketServer::answer_and_end(Connection& connection, const Response& response) {
  std::string bytes = response_head(response, Framing::kLength, response.body.size(), false);
  if (connection.parser.request().method != "HEAD") bytes += response.body;
  if (!send_now(connection.fd.get(), bytes)) return close(connection);
  linger(connection);
}

void SocketServer::linger(Connection& connection) {
  buffered_ -= std::exchange(connection.buffered, 0);
  connection.parser = RequestParser(limits());  // frees the body it held
  connection.request = {};
  connection.input = {};
  if (::shutdown(connection.fd.get(), SHUT_WR) != 0) return close(connection);
  if (connection.phase != Phase::kLingering) --open_;
  connection.phase = Phase::kLingering;
  connection.deadline = now() + kLinger;
}

void SocketServer::take_back() {
  std::vector<Connection*> returned;
  {
    const std::lock_guard lock(returned_mutex_);
    returned.swap(returned_);
  }
  for (Connection* connection : returned) {
    connection->phase = Phase::kReading;
    if (stopping_ || connection->gone) {
      close(*connection);
    } else if (!connection->keep) {
      linger(*connection);
    } else {
      next_request(*connection);
    }
  }
}

void SocketServer::next_request(Connection& connection) {
  buffered_ -= std::exchange(connection.buffered, 0);
  connection.parser = RequestParser(limits());
  connection.request = {};
  connection.head_seen = false;
  connection.body_bytes = 0;
  connection.deadline = now() + options_.idle_timeout;
  if (!connection.input.empty()) advance(connection);
}

void SocketServer::expire() {
  const Millis at = now();
  for (const auto& connection : connections_) {
    if (connection->phase == Phase::kHandling || !connection->fd.open()) continue;
    if (connection->deadline > at) continue;
    if (connection->phase == Phase::kReading && connection->parser.started()) {
      refuse(*connection, 408, "the request came too slowly");
    } else {
      close(*connection);
    }
  }
}

void SocketServer::sweep() {
  std::erase_if(connections_, [this](const std::unique_ptr<Connection>& connection) {
    if (connection->phase == Phase::kHandling || connection->fd.open()) return false;
    buffered_ -= connection->buffered;
    if (connection->phase != Phase::kLingering) --open_;
    return true;
  });
}

void SocketServer::close_all() {
  for (Listener& listener : listeners_) {
    listener.fd.reset();
    const std::string& path = listener.address.unix_path;
    if (!path.empty() && socket_inode(path) == listener.inode) (void)::unlink(path.c_str());
  }
  for (const auto& connection : connections_) {
    if (connection->phase == Phase::kHandling) {
      connection->gone = true;
    } else {
      close(*connection);
    }
  }
}

Result<Fd> make_wake() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.open()) return fail(os_error("eventfd", errno));
  return fd;
}

}  // namespace

Result<std::unique_ptr<Server>> serve(ServerOptions options, Handler handler) {
  if (options.listen.empty()) return fail(Code::kUsage, "no address to listen on");
  std::vector<Listener> listeners;
  for (const Address& address : options.listen) {
    Listener listener;
    listener.address = address;
    auto fd = listen_on(listener.address);
    if (!fd) {
      for (const Listener& other : listeners) (void)::unlink(other.address.unix_path.c_str());
      return fail(fd.error());
    }
    listener.fd = std::move(*fd);
    if (!address.unix_path.empty()) listener.inode = socket_inode(address.unix_path);
    listeners.push_back(std::move(listener));
  }
  auto wake = make_wake();
  if (!wake) return fail(wake.error());
  try {
    return std::make_unique<SocketServer>(std::move(options), std::move(handler),
                                          std::move(listeners), std::move(*wake));
  } catch (const std::exception& error) {
    return fail(Code::kUnavailable, std::string("no thread for the server: ") + error.what(),
                "raise the limit of processes (ulimit -u)");
  }
}

}  // namespace gantry::http
