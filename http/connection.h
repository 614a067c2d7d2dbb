// One connection of the server, and the Exchange a handler sees of it.
#pragma once

#include <string>

#include "http/parser.h"
#include "http/socket.h"

namespace gantry::http {

// Owned by the server's reactor. While its phase is kHandling, a handler's thread has everything
// but `phase`, and the reactor only watches the socket for the client's leaving (`gone`).
struct Connection {
  enum class Phase {
    kReading,    // a request, or waiting for one
    kHandling,   // lent to a handler
    kLingering,  // answered for the last time; what still comes is dropped until the client closes,
                 // since closing with unread bytes would destroy the answer on its way
  };

  Connection(Fd socket, const Address& by, const ParseLimits& limits)
      : fd(std::move(socket)), via(&by), parser(limits) {}

  Fd fd;
  const Address* via;
  Phase phase = Phase::kReading;
  RequestParser parser;
  std::string input;  // received, not parsed yet: at most one read
  Request request;    // the one being handled
  Cancel gone{false};
  bool head_seen = false;
  bool keep = false;  // set by the handler's side: another request may follow
  uint64_t buffered = 0;   // body bytes counted for this request
  uint64_t body_bytes = 0;  // of the body, as they came over the wire
  Millis body_since{0};
  Millis deadline{0};
};

class WireExchange final : public Exchange {
 public:
  // `hurry`: set when the server stops; an answer has little time then.
  WireExchange(Connection& connection, Millis write_timeout, const Cancel& hurry);

  const Request& request() const override { return connection_.request; }
  bool local() const override { return !connection_.via->unix_path.empty(); }
  const Address& peer_of() const override { return *connection_.via; }
  void reply(Response response) override;
  [[nodiscard]] Result<void> begin(Response head) override;
  [[nodiscard]] Result<void> write(std::string_view piece) override;
  const Cancel& gone() const override { return connection_.gone; }

  // After the handler: answers 500 where it did not, ends a stream. True: keep the connection.
  bool finish(bool handler_failed);

 private:
  enum class Stage { kNothing, kStreaming, kReplied, kBroken };
  bool send(std::string_view bytes, bool until_gone);
  bool head_request() const { return connection_.request.method == "HEAD"; }

  Connection& connection_;
  const Millis write_timeout_;
  const Cancel& hurry_;
  Stage stage_ = Stage::kNothing;
  bool chunked_ = false;
  bool keep_ = false;
};

}  // namespace gantry::http
