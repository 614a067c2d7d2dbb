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
  std::string device;    // said in JSON, where it is known
  bool words = false;       // verbose_json lists words with their times,
  bool only_words = false;  // in the place of segments
};

// format: json, text, srt, vtt or verbose_json. Segments of low confidence have a mark in text, srt
// and vtt, and "low_confidence": true in verbose_json; json has it once where any segment does.
[[nodiscard]] Result<http::Response> render_heard(const Heard& heard, const std::string& format);

}  // namespace gantry
