// Passing a worker's answer on: whole, or as a stream of server-sent events.
#pragma once

#include <string>
#include <string_view>

#include "serve/api.h"

namespace gantry {

// Opens `model` as `use` allows, sends the caller's body to the worker's endpoint of the same name,
// and passes the answer on, with X-Gantry-Answered-By and, where another model answers than was
// asked for, X-Gantry-Why. The client's leaving ends the generation; the session is released at the
// end. With `stays` nothing of it leaves this machine.
void proxy(Call& call, const std::string& model, const Use& use, bool stays);

// Who gave the answer, in a relay's own words where it was one (`relay`); and why it was not who
// was asked.
http::Response signed_by(http::Response response, const Session& session,
                         const std::string& relay = {});

// What a worker said instead of an answer, in our words for the status.
ApiError worker_answer_error(int status, std::string_view body);

// Lets through what ends in a line end: when a worker dies within a line, its client gets an
// error event instead of half an event before one. A line beyond kLineMax goes through in parts.
class WholeLines {
 public:
  static constexpr size_t kLineMax = 1 << 20;
  std::string_view feed(std::string_view piece);  // valid until the next call
  std::string_view rest() const { return pending_; }

 private:
  std::string ready_;
  std::string pending_;
};

}  // namespace gantry
