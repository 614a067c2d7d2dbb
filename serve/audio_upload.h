// What a request for a transcript must have: OpenAI's form.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/http.h"
#include "serve/audio_format.h"
#include "serve/reply.h"

namespace gantry {

struct AudioUpload {
  std::string_view file;  // in the request's body
  std::string model;
  std::string format = "json";
  std::string language;
  bool words = false, segments = false;  // what times were asked for
};

// Nothing, or what is wrong with it by field. `needs_model`: it has to name one.
std::optional<ApiError> read_audio_upload(const http::Request& request, bool needs_model,
                                          AudioUpload* upload);

// A recording that is the whole body, its wishes in the query: ?model=, language=,
// response_format=.
std::optional<ApiError> read_audio_body(const http::Request& request, AudioUpload* upload);

// What the answer shall have, before anything was heard.
Heard heard_as(const AudioUpload& upload);

}  // namespace gantry
