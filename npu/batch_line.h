// One line of work, whoever it comes from, and a thread that takes batches out of it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace gantry {

template <class Item>
struct BatchRules {
  size_t queue_max = 0;
  std::string name, noun;  // of the model, of what waits: "micro-embed-en", "texts"
  size_t rows = 1;         // of a batch, at most
  // Whether two may be computed together; how many of so many that may are taken at once.
  std::function<bool(const Item& one, const Item& other)> together;
  std::function<size_t(size_t same)> take;
  // On the line's thread. An Error is every caller's whose items were in the batch.
  std::function<Result<void>(std::span<Item> batch)> compute;
};

// Any thread. What items point to is not touched any more once run() has returned.
template <class Item>
class BatchLine {
 public:
  explicit BatchLine(BatchRules<Item> rules)
      : rules_(std::move(rules)), thread_([this] { work(); }) {}
  ~BatchLine() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    more_.notify_all();
    thread_.join();
  }
  BatchLine(const BatchLine&) = delete;
  BatchLine& operator=(const BatchLine&) = delete;

  // Waits until all are computed. kBusy: the line is full; kCancelled: `gone` became true.
  [[nodiscard]] Result<void> run(std::vector<Item> items, const std::atomic<bool>& gone) {
    Call call;
    std::unique_lock lock(mutex_);
    if (line_.size() + items.size() > rules_.queue_max) {
      return fail(Code::kBusy,
                  "the line of " + rules_.name + " is full (" + std::to_string(line_.size()) + " " +
                      rules_.noun + " wait, at most " + std::to_string(rules_.queue_max) + ")",
                  "try again later");
    }
    call.left = items.size();
    for (Item& item : items) line_.push_back({std::move(item), &call});
    more_.notify_one();
    bool left = false;
    while (call.left > 0) {
      done_.wait_for(lock, kLookAgain);
      if (!gone || left) continue;
      // Those that are being computed have our addresses: they are waited for.
      left = true;
      call.left -= std::erase_if(line_, [&](const Entry& entry) { return entry.call == &call; });
    }
    if (left) return fail(Code::kCancelled, "the caller left");
    if (call.error) return fail(*call.error);
    return {};
  }

  size_t queued() const {
    const std::lock_guard lock(mutex_);
    return line_.size();
  }

 private:
  static constexpr Millis kLookAgain{50};  // whether the caller is still there

  struct Call {
    size_t left = 0;
    std::optional<Error> error;
  };
  struct Entry {
    Item item;
    Call* call;
  };

  // The oldest, and those that may go with it.
  void take_locked(std::vector<Item>* items, std::vector<Call*>* calls) {
    std::vector<size_t> same;
    for (size_t i = 0; i < line_.size() && same.size() < rules_.rows; ++i) {
      if (rules_.together(line_.front().item, line_[i].item)) same.push_back(i);
    }
    same.resize(std::min(rules_.take(same.size()), same.size()));
    for (const size_t i : same) {
      items->push_back(std::move(line_[i].item));
      calls->push_back(line_[i].call);
    }
    for (size_t i = same.size(); i-- > 0;) {
      line_.erase(line_.begin() + static_cast<std::ptrdiff_t>(same[i]));
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      more_.wait(lock, [&] { return stopping_ || !line_.empty(); });
      if (stopping_) return;
      std::vector<Item> items;
      std::vector<Call*> calls;
      take_locked(&items, &calls);
      lock.unlock();
      const Result<void> computed = rules_.compute(items);
      lock.lock();
      for (Call* call : calls) {
        if (!computed) call->error = computed.error();
        --call->left;
      }
      done_.notify_all();
    }
  }

  const BatchRules<Item> rules_;
  mutable std::mutex mutex_;
  std::condition_variable more_, done_;
  std::deque<Entry> line_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all the others
};

}  // namespace gantry
