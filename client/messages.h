// A wish as a request of each kind of door, and the answers read back. No I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "client/order.h"
#include "http/http.h"
#include "http/stream_lines.h"

namespace gantry {

enum class Door { kNpu, kLocal, kCloud };  // in the order in which they are asked
std::string_view door_name(Door door);     // "npu", "local", "cloud"

// kUnsupported: that door has nothing of the kind.
[[nodiscard]] Result<http::Request> message_of(const Order& order, Door door,
                                               const std::string& model);

// Takes one answer as it comes. Text and sound go to the order's on_piece where it has one.
class Reading {
 public:
  Reading(const Order& order, Door door);  // the order outlives it
  bool head(const http::Response& head);
  bool piece(std::string_view bytes);  // false: nobody wants more
  bool begun() const { return handed_on_; }  // somebody has had a part of it
  [[nodiscard]] Result<Given> end();

 private:
  bool hand_on(std::string_view bytes, std::string* kept);
  bool event(const std::string& text);
  void signed_by(const http::Response& head);
  [[nodiscard]] Result<void> read_whole();

  const Order& order_;
  const Door door_;
  http::StreamLines lines_;
  Given given_;
  int status_ = 0;
  bool events_ = false, done_ = false, handed_on_ = false, unwanted_ = false, too_large_ = false;
  std::string body_;
  std::optional<Error> error_;
};

}  // namespace gantry
