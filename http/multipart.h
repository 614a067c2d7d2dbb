// multipart/form-data (RFC 7578) as a pure function over a body that is already in memory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::http {

constexpr size_t kMultipartPartsMax = 64;
constexpr size_t kMultipartHeadMax = 8192;  // bytes of one part's headers

struct FormPart {
  std::string name;
  std::string filename;      // as sent: never a path to open
  std::string content_type;  // empty when not sent
  std::string_view content;  // into the body given to parse_form
};

// `content_type` is the request's header. kUsage when it is no form or has no boundary, kCorrupt
// when the body does not keep to it, kTooLarge over the limits above.
[[nodiscard]] Result<std::vector<FormPart>> parse_form(std::string_view content_type,
                                                       std::string_view body);

}  // namespace gantry::http
