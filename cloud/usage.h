// What an answer says that it used, whether it came whole or as a stream of events.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gantry {

struct Usage {
  uint64_t prompt = 0, completion = 0;  // tokens
};

// Fed with the bytes of an answer as they come; keeps one line, or a whole small answer.
class UsageReader {
 public:
  explicit UsageReader(bool events) : events_(events) {}
  void feed(std::string_view piece);
  // Nothing where the answer did not say, or was too long to look at.
  std::optional<Usage> usage();

 private:
  void line(std::string_view text);
  const bool events_;
  bool lost_ = false;  // what is kept is not whole
  std::string kept_;
  std::optional<Usage> found_;
};

}  // namespace gantry
