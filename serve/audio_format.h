// A transcript in the shapes of /v1/audio/transcriptions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "http/http.h"
#include "worker/worker.h"

namespace gantry {

struct Heard {
  std::vector<Segment> segments;
  Millis duration{0};
  std::string language;  // as the caller said; empty: not said
};

// Of a 16 kHz mono 16-bit wav, from its size.
Millis wav_duration(Bytes file);

// format: json, text, srt, vtt or verbose_json.
[[nodiscard]] Result<http::Response> render_heard(const Heard& heard, const std::string& format);

}  // namespace gantry
