// Lines out of pieces.
#include "http/stream_lines.h"

namespace gantry::http {

std::vector<std::string> StreamLines::feed(std::string_view piece) {
  constexpr std::string_view kData = "data: ";
  std::vector<std::string> out;
  pending_ += piece;
  size_t at = 0;
  for (size_t end = 0; (end = pending_.find('\n', at)) != std::string::npos; at = end + 1) {
    std::string_view line(pending_.data() + at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with(kData)) out.emplace_back(line.substr(kData.size()));
  }
  pending_.erase(0, at);
  if (pending_.size() > kLineMax) pending_.clear();
  return out;
}

}  // namespace gantry::http
