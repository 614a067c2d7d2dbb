// One question to a language or vision model in a Session, over its OpenAI-shaped HTTP.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foreman/client.h"

namespace gantry {

struct Question {
  std::string system;               // empty: none
  std::string prompt;
  std::vector<std::string> images;  // files, at most kImageMax each: PNG, JPEG, BMP or GIF
  uint32_t tokens_max = 1024;
  double temperature = 0;
  uint64_t seed = 0;
  bool stays = false;  // nothing of it leaves this machine
};

// The answer's text; on_text gets each piece as it comes (may be empty). kWorkerFailed with the
// worker's own words, kCancelled, kUnsupported for a file that is no picture.
[[nodiscard]] Result<std::string> ask(Os& os, Session& session, const Question& question,
                                      const http::Cancel& cancel,
                                      const std::function<void(std::string_view)>& on_text);

// The request's body, for tests and for clients that talk to the daemon instead of a worker.
[[nodiscard]] Result<std::string> chat_body(Os& os, const std::string& model,
                                            const Question& question);

// What a worker says of its speed at the end of an answer ("timings"); nothing where it does not.
struct Pace {
  uint64_t tokens = 0;
  double seconds = 0;
};
std::optional<Pace> pace_of(const nlohmann::json& answer);

// Cuts a stream of server-sent events into the text pieces of chat deltas, whatever the sizes of
// the network's pieces.
class ChatStream {
 public:
  // kWorkerFailed when the stream carries an error object, kCorrupt when it is not events.
  [[nodiscard]] Result<std::string> feed(std::string_view piece);
  bool done() const { return done_; }  // "[DONE]" came
  const std::optional<Pace>& pace() const { return pace_; }

 private:
  [[nodiscard]] Result<void> line(std::string_view text, std::string* out);
  std::string pending_;
  bool done_ = false;
  std::optional<Pace> pace_;
};

}  // namespace gantry
