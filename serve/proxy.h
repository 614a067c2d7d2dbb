// Passing a worker's answer on: whole, or as a stream of server-sent events.
#pragma once

#include <string>
#include <string_view>

#include "serve/api.h"

namespace gantry {

// Opens `model` as `use` allows, sends the caller's body to the worker's `target`, and passes the
// answer on. The client's leaving ends the generation; the session is released at the end.
void proxy(Call& call, const std::string& model, const Use& use, const std::string& target);

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
