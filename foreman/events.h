// What jobs tell while they run, for those who watch. Kept in memory only, and bounded:
// kJobEventsMax events a job, the last kEndedJobsKept ended jobs. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "base/sync.h"
#include "http/http.h"

namespace gantry {

constexpr size_t kEndedJobsKept = 64;

class Events {
 public:
  // One JSON line without its newline. Longer than kJobEventMax: left out.
  void add(const std::string& job, std::string line);
  // Replaces the job's last progress line: only the newest matters to anybody.
  void progress(const std::string& job, std::string line);
  void end(const std::string& job);  // nothing comes after this
  void begin(const std::string& job);  // an ended one goes on after all

  // Past events first, then new ones as they come; {"type":"skipped"} where a slow reader missed
  // some. Returns when the job has ended, `gone` is set, `ended` says so, or on_event returns
  // false.
  void follow(const std::string& job, const http::Cancel& gone,
              const std::function<bool()>& ended,
              const std::function<bool(const std::string&)>& on_event);

 private:
  struct Board {
    std::deque<std::string> lines;
    uint64_t dropped = 0;  // before lines.front()
    std::string progress;
    uint64_t progress_version = 0;
    bool ended = false;
    uint32_t readers = 0;
  };
  void trim();

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Board> boards_;
  std::deque<std::string> ended_;  // oldest first
};

}  // namespace gantry
