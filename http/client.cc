// fetch: one request over one connection, blocking.
#include <algorithm>
#include <array>

#include "http/message.h"
#include "http/parser.h"
#include "http/socket.h"
#include "http/wire.h"

namespace gantry::http {

namespace {

std::string host_of(const Address& address) {
  return address.unix_path.empty() ? address.text() : "localhost";
}

std::string request_head(const Address& address, const Request& request) {
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\n";
  if (request.header("Host").empty()) head += "Host: " + host_of(address) + "\r\n";
  head += header_lines(request.headers, {"Connection", "Content-Length", "Transfer-Encoding"});
  head += "Connection: close\r\n";
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return head + "\r\n";
}

// Feeds the answer to the caller: the head once, then pieces.
class Answer {
 public:
  Answer(const FetchOptions& options, bool head_only)
      : options_(options), parser_({kHttpHeaderMax, options.body_max}, head_only) {}

  Result<void> take(std::string_view bytes) {
    auto fed = bytes.empty() ? parser_.feed_eof() : parser_.feed(bytes);
    // What came before a fault is still the caller's: a stream shows it, then the error.
    auto passed = pass_on();
    if (!passed) return fail(passed.error());
    if (!fed) return fail(fed.error());
    return {};
  }
  bool done() const { return parser_.done(); }
  Response response() {
    Response response = parser_.head();
    response.body = std::move(body_);
    return response;
  }

 private:
  Result<void> pass_on() {
    if (!parser_.head_done()) return {};
    if (!head_passed_) {
      head_passed_ = true;
      if (options_.on_head && !options_.on_head(parser_.head())) return stopped();
    }
    std::string piece = parser_.take_body();
    if (piece.empty()) return {};
    if (!options_.on_piece) {
      body_ += piece;
      return {};
    }
    if (!options_.on_piece(piece)) return stopped();
    return {};
  }
  static Result<void> stopped() { return fail(Code::kCancelled, "the reader wanted no more"); }

  const FetchOptions& options_;
  ResponseParser parser_;
  std::string body_;
  bool head_passed_ = false;
};

constexpr Millis kEarlyAnswerMax{2'000};

bool clean_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

Result<void> check_request(const Request& request) {
  const bool clean = clean_line(request.method) && clean_line(request.target) &&
                     request.target.find(' ') == std::string::npos && !request.target.empty() &&
                     !request.method.empty();
  if (!clean) return fail(Code::kUsage, "not a request line: " + printable(request.target));
  return {};
}

Error about(const Address& address, Error error) {
  error.message = address.text() + ": " + error.message;
  return error;
}

}  // namespace

Result<Response> fetch(const Address& address, const Request& request,
                       const FetchOptions& options) {
  auto checked = check_request(request);
  if (!checked) return fail(checked.error());
  auto fd = connect_to(address, {options.connect_timeout, options.cancel, nullptr});
  if (!fd) return fail(fd.error());
  const Patience patience{options.idle_timeout, options.cancel, nullptr};
  auto sent = send_all(fd->get(), request_head(address, request), patience);
  if (sent) sent = send_all(fd->get(), request.body, patience);
  // A server may answer and close before it has read everything ("too large"): read that answer.
  const bool refused_early = !sent && sent.error().code == Code::kUnavailable;
  if (!sent && !refused_early) return fail(about(address, sent.error()));
  // It is on its way by then or never comes: nobody answers half a request.
  Patience left = patience;
  if (refused_early) left.idle = std::min(patience.idle, kEarlyAnswerMax);
  Answer answer(options, request.method == "HEAD");
  std::array<char, 16384> buffer;
  while (!answer.done()) {
    auto got = receive_some(fd->get(), buffer.data(), buffer.size(), left);
    if (!got) {
      const bool never = refused_early && got.error().code == Code::kTimeout;
      return fail(about(address, never ? sent.error() : got.error()));
    }
    auto taken = answer.take({buffer.data(), *got});
    if (!taken) {
      if (taken.error().code == Code::kCancelled) return fail(taken.error());
      return fail(about(address, taken.error()));
    }
  }
  return answer.response();
}

}  // namespace gantry::http
