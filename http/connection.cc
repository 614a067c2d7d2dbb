// The Exchange a handler sees: answers and streams, written by the handler's own thread.
#include "http/connection.h"

#include "http/wire.h"

namespace gantry::http {

WireExchange::WireExchange(Connection& connection, Millis write_timeout, const Cancel& hurry)
    : connection_(connection), write_timeout_(write_timeout), hurry_(hurry) {}

bool WireExchange::send(std::string_view bytes, bool until_gone) {
  const Patience patience{write_timeout_, until_gone ? &connection_.gone : nullptr, &hurry_};
  if (send_all(connection_.fd.get(), bytes, patience)) return true;
  connection_.gone = true;
  stage_ = Stage::kBroken;
  return false;
}

void WireExchange::reply(Response response) {
  if (stage_ != Stage::kNothing) return;
  stage_ = Stage::kReplied;
  keep_ = connection_.parser.keep_alive() && !hurry_.load();
  std::string bytes = response_head(response, Framing::kLength, response.body.size(), keep_);
  if (!head_request()) bytes += response.body;
  (void)send(bytes, false);
}

Result<void> WireExchange::begin(Response head) {
  if (stage_ != Stage::kNothing) return fail(Code::kInternal, "a second answer to one request");
  if (connection_.gone.load()) return fail(Code::kCancelled, "the client has left");
  stage_ = Stage::kStreaming;
  chunked_ = connection_.parser.http_11();
  keep_ = chunked_ && connection_.parser.keep_alive() && !hurry_.load();
  const Framing framing = chunked_ ? Framing::kChunked : Framing::kUntilClose;
  if (!send(response_head(head, framing, 0, keep_), true)) {
    return fail(Code::kCancelled, "the client has left");
  }
  return {};
}

Result<void> WireExchange::write(std::string_view piece) {
  if (stage_ == Stage::kBroken || connection_.gone.load()) {
    return fail(Code::kCancelled, "the client has left");
  }
  if (stage_ != Stage::kStreaming) return fail(Code::kInternal, "a piece without a beginning");
  if (piece.empty() || head_request()) return {};  // an empty chunk would end the body
  const bool sent = chunked_ ? send(chunk_of(piece), true) : send(piece, true);
  if (!sent) return fail(Code::kCancelled, "the client has left");
  return {};
}

bool WireExchange::finish(bool handler_failed) {
  if (stage_ == Stage::kNothing) {
    Response response;
    response.status = 500;
    response.headers = {{"Content-Type", "text/plain"}};
    response.body = "the request was not answered\n";
    reply(std::move(response));
    return false;
  }
  if (stage_ == Stage::kStreaming) {
    // A body that is not complete must not look complete: no last chunk, and the end.
    if (handler_failed || connection_.gone.load()) return false;
    if (chunked_ && !head_request() && !send("0\r\n\r\n", true)) return false;
  }
  return keep_ && !handler_failed && stage_ != Stage::kBroken;
}

}  // namespace gantry::http
