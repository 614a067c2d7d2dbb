// A circuit breaker: an endpoint that fails again and again is left alone for a while.
#pragma once

#include <mutex>
#include <optional>

#include "base/clock.h"

namespace gantry {

constexpr int kBreakerFailures = 3;         // in a row
constexpr Millis kBreakerRest{30'000};

// Thread-safe. Closed: calls pass. Open: none does, until the rest is over; then one tries, and
// what becomes of it decides.
class Breaker {
 public:
  // How long to wait, or nothing: the call may be made, and its end must be told.
  std::optional<Millis> wait(Millis now);
  void ended(bool well, Millis now);
  bool open(Millis now) const;

 private:
  mutable std::mutex mutex_;
  int failures_ = 0;
  bool trying_ = false;
  Millis until_{0};
};

}  // namespace gantry
