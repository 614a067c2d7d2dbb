// Boards of events and their readers.
#include "foreman/events.h"

#include <fmt/format.h>

#include <vector>

#include "base/limits.h"

namespace gantry {

namespace {
// How soon a reader notices that it is gone or that the job ended elsewhere.
constexpr Millis kLook{100};
}  // namespace

void Events::add(const std::string& job, std::string line) {
  if (line.size() > kJobEventMax.n) return;
  const std::lock_guard lock(mutex_);
  Board& board = boards_[job];
  if (board.ended) return;
  board.lines.push_back(std::move(line));
  if (board.lines.size() > kJobEventsMax) {
    board.lines.pop_front();
    ++board.dropped;
  }
  changed_.notify_all();
}

void Events::progress(const std::string& job, std::string line) {
  const std::lock_guard lock(mutex_);
  Board& board = boards_[job];
  if (board.ended) return;
  board.progress = std::move(line);
  ++board.progress_version;
  changed_.notify_all();
}

void Events::end(const std::string& job) {
  const std::lock_guard lock(mutex_);
  Board& board = boards_[job];
  if (board.ended) return;
  board.ended = true;
  ended_.push_back(job);
  trim();
  changed_.notify_all();
}

void Events::begin(const std::string& job) {
  const std::lock_guard lock(mutex_);
  const auto board = boards_.find(job);
  if (board == boards_.end() || !board->second.ended) return;
  board->second.ended = false;
  std::erase(ended_, job);
}

void Events::trim() {
  // A board that is being read stays until its readers have left and another job ends.
  for (auto at = ended_.begin(); at != ended_.end() && ended_.size() > kEndedJobsKept;) {
    const auto board = boards_.find(*at);
    if (board != boards_.end() && board->second.readers > 0) {
      ++at;
      continue;
    }
    if (board != boards_.end()) boards_.erase(board);
    at = ended_.erase(at);
  }
}

void Events::follow(const std::string& job, const http::Cancel& gone,
                    const std::function<bool()>& ended,
                    const std::function<bool(const std::string&)>& on_event) {
  std::unique_lock lock(mutex_);
  Board& board = boards_[job];  // stays in place while readers > 0
  ++board.readers;
  uint64_t next = 0, progress_seen = 0;
  bool wanted = true;
  while (wanted && !gone) {
    std::vector<std::string> fresh;
    if (next < board.dropped) {
      if (next > 0) fresh.push_back(fmt::format(R"({{"type":"skipped","count":{}}})",
                                                board.dropped - next));
      next = board.dropped;
    }
    for (; next < board.dropped + board.lines.size(); ++next) {
      fresh.push_back(board.lines[next - board.dropped]);
    }
    if (progress_seen != board.progress_version && !board.ended) fresh.push_back(board.progress);
    progress_seen = board.progress_version;
    if (fresh.empty() && board.ended) break;
    if (!fresh.empty()) {
      lock.unlock();
      for (size_t i = 0; i < fresh.size() && wanted; ++i) wanted = on_event(fresh[i]);
      lock.lock();
      continue;
    }
    if (changed_.wait_for(lock, kLook) == std::cv_status::timeout) {
      lock.unlock();
      const bool over = ended();
      lock.lock();
      if (over && next == board.dropped + board.lines.size()) break;
    }
  }
  --board.readers;
  // A board that nothing was ever written to was made by this reader alone.
  if (board.readers == 0 && board.lines.empty() && board.progress_version == 0 && !board.ended) {
    boards_.erase(job);
  }
}

}  // namespace gantry
