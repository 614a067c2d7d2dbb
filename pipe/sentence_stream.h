// Cuts a text that is still being written into sentences, each as soon as it is whole. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry {

class SentenceStream {
 public:
  // The sentences that are whole with this piece: up to a mark with a blank after it, a full-width
  // mark, or the end of a line. As script.h cuts them; what is no clean text is left out.
  std::vector<std::string> feed(std::string_view piece);
  std::vector<std::string> finish();  // whatever is left

 private:
  std::vector<std::string> take(size_t end);

  std::string pending_;
};

}  // namespace gantry
