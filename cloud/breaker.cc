// Counting failures in a row.
#include "cloud/breaker.h"

namespace gantry {

std::optional<Millis> Breaker::wait(Millis now) {
  std::lock_guard lock(mutex_);
  if (failures_ < kBreakerFailures) return std::nullopt;
  if (now < until_) return until_ - now;
  if (trying_) return kBreakerRest;
  trying_ = true;
  return std::nullopt;
}

void Breaker::ended(bool well, Millis now) {
  std::lock_guard lock(mutex_);
  trying_ = false;
  failures_ = well ? 0 : failures_ + 1;
  if (failures_ >= kBreakerFailures) until_ = now + kBreakerRest;
}

bool Breaker::open(Millis now) const {
  std::lock_guard lock(mutex_);
  return failures_ >= kBreakerFailures && now < until_;
}

}  // namespace gantry
