// HTTP/1.1, both sides, over TCP and unix sockets. The only room that sees Boost.Beast.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/result.h"

namespace gantry::http {

// "unix:/run/x.sock" or "127.0.0.1:8484" or "[::1]:8484"; an http:// before it is accepted,
// "localhost" is read as 127.0.0.1.
struct Address {
  std::string unix_path;  // when set, host and port are not used
  std::string host;
  uint16_t port = 0;
  std::string text() const;
  bool loopback() const;  // unix sockets, 127/8, ::1
};
[[nodiscard]] Result<Address> parse_address(std::string_view text);

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method = "GET";
  std::string target = "/";  // path and query as sent
  Headers headers;
  std::string body;
  std::string_view header(std::string_view name) const;  // case-insensitive; empty when absent
  std::string_view path() const;                         // target up to '?'
  std::optional<std::string> query(std::string_view key) const;  // percent-decoded
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::string_view header(std::string_view name) const;
};

// Set from any thread to end a call early.
using Cancel = std::atomic<bool>;

struct FetchOptions {
  Millis connect_timeout{2'000};
  Millis idle_timeout{600'000};  // without a single byte from the other side
  Bytes body_max = kHttpBodyMax;
  const Cancel* cancel = nullptr;
  // When set, called once with the head, then with each piece of the body as it comes (the
  // Response's body stays empty). Returning false ends the call with kCancelled.
  std::function<bool(const Response& head)> on_head;
  std::function<bool(std::string_view piece)> on_piece;
};

// One request, one connection, blocking. A status of 4xx/5xx is a Response, not an Error.
// kUnavailable: nobody listens there, or it left before the end; kTimeout; kCancelled; kCorrupt:
// not HTTP; kTooLarge.
[[nodiscard]] Result<Response> fetch(const Address& address, const Request& request,
                                     const FetchOptions& options);

// One request being answered. The handler runs on a thread of the server's pool and may block.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  virtual bool local() const = 0;  // came over a unix socket: the owner of the state directory
  virtual const Address& peer_of() const = 0;  // the listening address it came in by
  // Exactly one of reply, or begin + write... + the handler's return.
  virtual void reply(Response response) = 0;
  [[nodiscard]] virtual Result<void> begin(Response head) = 0;  // body ignored; chunked
  [[nodiscard]] virtual Result<void> write(std::string_view piece) = 0;  // blocks; kCancelled: gone
  // True once the client has closed its side (even the sending half alone) or the server stops:
  // long work may end. Usable as fetch's cancel.
  virtual const Cancel& gone() const = 0;
};

using Handler = std::function<void(Exchange&)>;

// Looks at the head of a request (its body is empty) before a byte of the body is read. An answer
// ends the connection after it. Called on the thread that reads all requests: must not block.
using Admit = std::function<std::optional<Response>(const Request& head, const Address& via)>;

struct ServerOptions {
  std::vector<Address> listen;  // unix sockets are created with mode 0600
  uint32_t threads = 32;        // handlers at once; beyond that requests queue
  uint32_t connections_max = kHttpConnectionsMax;  // beyond: 503 with Retry-After
  Bytes header_max = kHttpHeaderMax;
  Bytes body_max = kHttpBodyMax;         // beyond: 413, body not read
  Bytes bodies_max = kHttpBodiesMax;     // of all requests together; beyond: 503
  Millis idle_timeout = kHttpIdleTimeout;  // reading a head, between two requests, and writing;
                                           // a body gets more by the bytes it has brought
  Admit admit;
  // The answer to what never reaches the handler (bad request, too large, full): its body and
  // content type; the status and Retry-After are the server's. Not set: one line of text.
  std::function<Response(int status, std::string_view cause)> refuse;
};

class Server {
 public:
  virtual ~Server() = default;  // stops
  virtual std::vector<Address> addresses() const = 0;  // with the real port where 0 was asked
  virtual uint32_t connections() const = 0;            // open now
  // No new requests; handlers' clients count as gone; waits for the handlers: not from one.
  virtual void stop() = 0;
};

// kBusy with the address when it is taken.
[[nodiscard]] Result<std::unique_ptr<Server>> serve(ServerOptions options, Handler handler);

}  // namespace gantry::http
