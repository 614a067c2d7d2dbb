// Where the last whole sentence ends.
#include "pipe/sentence_stream.h"

#include "pipe/script.h"

namespace gantry {

namespace {

// Behind the last place where what comes later changes no sentence before it; 0: there is none.
size_t whole_until(std::string_view text) {
  for (size_t i = text.size(); i > 0; --i) {
    const std::string_view before = text.substr(0, i);
    for (const std::string_view wide : {"。", "！", "？"}) {
      if (before.ends_with(wide)) return i;
    }
    if (before.back() == '\n') return i;
    const bool mark = i >= 2 && before.back() == ' ' &&
                      std::string_view(".!?").find(before[i - 2]) != std::string_view::npos;
    if (mark) return i;
  }
  return 0;
}

}  // namespace

std::vector<std::string> SentenceStream::take(size_t end) {
  std::vector<std::string> out;
  std::string_view text = std::string_view(pending_).substr(0, end);
  while (!text.empty()) {  // a line is a pause, whatever it ends with
    const size_t line = std::min(text.find('\n'), text.size());
    if (const auto cut = sentences(text.substr(0, line))) {
      out.insert(out.end(), cut->begin(), cut->end());
    }
    text.remove_prefix(std::min(line + 1, text.size()));
  }
  pending_.erase(0, end);
  return out;
}

std::vector<std::string> SentenceStream::feed(std::string_view piece) {
  pending_ += piece;
  return take(whole_until(pending_));
}

std::vector<std::string> SentenceStream::finish() { return take(pending_.size()); }

}  // namespace gantry
