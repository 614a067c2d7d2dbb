// Items worked on by several threads, results taken in the order of the items.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace gantry {

// How many results may wait for the one before them, for each lane: what is held stays small
// however many items there are.
constexpr size_t kAheadOfOrder = 4;

template <class T>
class InOrder {
 public:
  // From the thread of that lane. Ends soon once `stop` is set; what it returns then counts for
  // nothing.
  using Work = std::function<Result<T>(size_t lane, size_t item, const std::atomic<bool>& stop)>;
  // From the caller's thread.
  using Take = std::function<void(size_t item, T result)>;

  // The first error in the order of items ends it and is returned, when all threads are done.
  [[nodiscard]] static Result<void> run(size_t lanes, size_t items, const Work& work,
                                        const Take& take) {
    InOrder order(lanes, items, work);
    Result<void> done = order.take_all(take);
    order.end();
    return done;
  }

 private:
  InOrder(size_t lanes, size_t items, const Work& work)
      : items_(items), ahead_(kAheadOfOrder * lanes), work_(work) {
    for (size_t lane = 0; lane < std::min(lanes, items); ++lane) {
      threads_.emplace_back([this, lane] { work_on(lane); });
    }
  }

  void work_on(size_t lane) {
    for (;;) {
      size_t item = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stop_ || next_ >= items_ || next_ < taken_ + ahead_; });
        if (stop_ || next_ >= items_) return;
        item = next_++;
      }
      Result<T> result = work_(lane, item, stop_);
      const std::lock_guard lock(mutex_);
      results_.emplace(item, std::move(result));
      changed_.notify_all();
    }
  }

  [[nodiscard]] Result<void> take_all(const Take& take) {
    for (size_t item = 0; item < items_; ++item) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this, item] { return results_.contains(item); });
      auto node = results_.extract(item);
      ++taken_;
      changed_.notify_all();
      lock.unlock();
      Result<T>& result = node.mapped();
      if (!result) return fail(result.error());
      take(item, std::move(*result));
    }
    return {};
  }

  void end() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  const size_t items_, ahead_;
  const Work& work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t next_ = 0, taken_ = 0;
  std::map<size_t, Result<T>> results_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace gantry
