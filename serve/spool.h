// An uploaded recording on its way to a model.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/os.h"
#include "http/http.h"
#include "serve/reply.h"

namespace gantry {

// Makes of a recording the wav that recognition reads.
using Decode = std::function<Result<void>(const std::string& file, const std::string& wav,
                                          const http::Cancel& gone)>;

// The uploaded bytes and their decoded wav, gone with this object however the request ends.
class Spool {
 public:
  Spool(Os& os, const std::string& dir, const Clock& clock);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  std::string wav() const { return path_ + ".wav"; }
  // 400 for what is no recording, as OpenAI's clients expect it.
  std::optional<ApiError> decode(const Decode& decode, std::string_view bytes,
                                 const http::Cancel& gone) const;

 private:
  std::string upload() const { return path_ + ".upload"; }
  Os& os_;
  std::string path_;
};

}  // namespace gantry
