// Incremental HTTP/1.1 parsers: bytes in, a message or a refusal out. No socket, no clock.
//
// RequestParser is stricter than the RFC allows a server to be, because what two programs read
// differently is how requests are smuggled: no bare CR or LF, no NUL, no folded lines, one Host,
// one Content-Length, and Transfer-Encoding "chunked" alone and never beside Content-Length.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/http.h"

namespace gantry::http {

struct ParseLimits {
  Bytes header_max = kHttpHeaderMax;
  Bytes body_max = kHttpBodyMax;
};

struct Refusal {
  int status = 400;
  std::string cause;
};

class RequestParser {
 public:
  explicit RequestParser(const ParseLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;

  // Takes bytes from the front of `input` and returns how many. Stops after the head (so that it
  // can be looked at before the body) and after the message: what is left belongs to the next one.
  size_t feed(std::string_view input);

  bool started() const;    // any byte of a message seen
  bool head_done() const;  // request() has everything but the body
  bool done() const;
  const std::optional<Refusal>& refusal() const;  // once set, feed takes nothing more
  Bytes buffered() const;                         // memory held for this message's body

  bool keep_alive() const;        // of the head
  bool http_11() const;
  bool expects_continue() const;  // the client waits for "100 Continue"
  const Request& request() const;
  Request take();  // once done

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ResponseParser {
 public:
  // `head_only`: the answer to HEAD, which has no body whatever its headers say.
  ResponseParser(const ParseLimits& limits, bool head_only);
  ~ResponseParser();

  // Takes all of `input` (bytes behind the message are dropped). kCorrupt, kTooLarge.
  [[nodiscard]] Result<void> feed(std::string_view input);
  // The other side closed: ends a body without a length. kUnavailable when that cuts it short.
  [[nodiscard]] Result<void> feed_eof();

  bool head_done() const;
  bool done() const;
  const Response& head() const;    // status and headers
  std::string take_body();         // what came since the last call

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gantry::http
