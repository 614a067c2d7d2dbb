// A bounded pool of threads that run handlers.
#include "http/pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace gantry::http {

Pool::Pool(uint32_t threads_max) : threads_max_(std::max(threads_max, 1u)) {
  start_thread();  // without a single one nothing works: let that be known at once
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Pool::start_thread() {
  threads_.emplace_back([this] { run(); });
}

void Pool::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(work));
  if (idle_ < queue_.size() && threads_.size() < threads_max_) {
    try {
      start_thread();
    } catch (const std::system_error&) {
      threads_max_ = threads_.size();  // the machine has no more: those that are there will do
    }
  }
  wake_.notify_one();
}

uint32_t Pool::threads() const {
  const std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(threads_.size());
}

void Pool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
}

}  // namespace gantry::http
