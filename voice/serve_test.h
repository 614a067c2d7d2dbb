// For tests: requests to a worker's loop over pipes, and all that it answers.
#pragma once

#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "worker/speech_protocol.h"

namespace gantry {

// Answers until the last request has been answered.
inline std::vector<SpeechAnswer> answers_of(const std::function<int(int in, int out)>& serve,
                                            const std::vector<SpeechCall>& calls) {
  int in[2], out[2];
  if (::pipe(in) != 0 || ::pipe(out) != 0) return {};
  std::thread server([&] {
    serve(in[0], out[1]);
    ::close(out[1]);
  });
  std::vector<SpeechAnswer> answers;
  size_t asked = 0;
  const auto ask = [&] {
    if (asked == calls.size()) {
      if (asked++ == calls.size()) ::close(in[1]);
      return;
    }
    const std::string line = speech_line(calls[asked++]) + "\n";
    if (::write(in[1], line.data(), line.size()) < 0) ::close(in[1]);
  };
  std::string line;
  for (char c = 0; ::read(out[0], &c, 1) == 1;) {
    if (c != '\n') {
      line += c;
      continue;
    }
    const Result<SpeechAnswer> answer = parse_speech_answer(line);
    line.clear();
    if (!answer) continue;
    answers.push_back(*answer);
    if (!std::holds_alternative<SpeechProgress>(*answer)) ask();
  }
  server.join();
  if (asked <= calls.size()) ::close(in[1]);
  ::close(in[0]);
  ::close(out[0]);
  return answers;
}

inline Code code_in(const SpeechAnswer& answer) {
  const Error* error = std::get_if<Error>(&answer);
  return error == nullptr ? Code::kInternal : error->code;
}

}  // namespace gantry
