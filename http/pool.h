// A bounded pool of threads that run handlers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gantry::http {

// Threads are started when work waits and none is free, up to `threads_max`; work beyond them
// waits in a queue, which its callers bound (a server by its connections). Thread-safe.
class Pool {
 public:
  explicit Pool(uint32_t threads_max);
  ~Pool();  // runs what is queued, then joins; not from a thread of the pool
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void post(std::function<void()> work);  // `work` must not throw
  uint32_t threads() const;

 private:
  void run();
  void start_thread();

  size_t threads_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  uint32_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace gantry::http
