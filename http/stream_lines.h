// The data of server-sent events, out of pieces that end anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry::http {

class StreamLines {
 public:
  static constexpr size_t kLineMax = 1 << 20;  // a longer line is dropped
  // What follows "data: " on each line that this piece completes.
  std::vector<std::string> feed(std::string_view piece);

 private:
  std::string pending_;
};

}  // namespace gantry::http
