// What base/sync.h names, for a build whose threads are fibers: given to every source of the
// foreman before its first line (-include). One fiber runs at a time; each lock, unlock, wait and
// start is a point where the seed may choose another.
#pragma once

#ifdef GANTRY_SIMULATED

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/os.h"

namespace gantry {

class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void lock();
  void unlock();

 private:
  friend class CondVar;
  void release();

  uint32_t owner_ = 0;  // the fiber that has it; 0: nobody
};

class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;
  void notify_one();
  void notify_all();
  void wait(std::unique_lock<Mutex>& lock);
  template <class Predicate>
  void wait(std::unique_lock<Mutex>& lock, Predicate met) {
    while (!met()) wait(lock);
  }
  template <class Rep, class Period>
  std::cv_status wait_for(std::unique_lock<Mutex>& lock, std::chrono::duration<Rep, Period> time) {
    return wait_until(lock, deadline(std::chrono::ceil<Millis>(time)));
  }
  template <class Rep, class Period, class Predicate>
  bool wait_for(std::unique_lock<Mutex>& lock, std::chrono::duration<Rep, Period> time,
                Predicate met) {
    const Millis until = deadline(std::chrono::ceil<Millis>(time));
    while (!met()) {
      if (wait_until(lock, until) == std::cv_status::timeout) return met();
    }
    return true;
  }

 private:
  static Millis deadline(Millis from_now);
  std::cv_status wait_until(std::unique_lock<Mutex>& lock, Millis until);
};

class Thread {
 public:
  using id = uint32_t;
  Thread() = default;
  explicit Thread(std::function<void()> body);
  Thread(Thread&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
  Thread& operator=(Thread&& other) noexcept;
  ~Thread();
  bool joinable() const { return id_ != 0; }
  void join();
  id get_id() const { return id_; }

 private:
  id id_ = 0;
};

Thread::id this_thread_id();

// One daemon at a time on a state directory, as far as the simulated machine is concerned.
[[nodiscard]] Result<std::unique_ptr<FileLock>> simulated_lock(const std::string& path);

// Whether the seeded fault of this number is on (lab/sim/bugs.txt).
bool sim_bug(int number);

}  // namespace gantry

// The one call that passes the seam of Os by; after base/os.h has declared it.
#define lock_file simulated_lock

#endif
