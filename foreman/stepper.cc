// Thresholds, and the level that follows them slowly.
#include "foreman/stepper.h"

#include <fmt/format.h>

#include <algorithm>

namespace gantry {

namespace {

// The first sign that presses, in words; empty: none does.
std::string pressing(const Signs& signs, Millis after) {
  const auto seconds = [](Millis wait) { return static_cast<double>(wait.count()) / 1000; };
  if (signs.busy >= after) {
    return fmt::format("a request has waited {:.0f} s in line", seconds(signs.busy));
  }
  if (signs.starved > Millis(0)) return "other programs hold the memory";
  if (signs.throttled) return signs.device + " is throttled by heat";
  if (signs.temperature_c && *signs.temperature_c >= kHotC) {
    return fmt::format("the processor is at {:.0f} C", *signs.temperature_c);
  }
  if (signs.stalled >= kStalledHigh) {
    return fmt::format("programs wait for memory {:.0f} % of the time", signs.stalled);
  }
  return {};
}

}  // namespace

Strain strain_of(const Signs& signs, Millis after) {
  Strain strain;
  strain.why = pressing(signs, after);
  strain.high = !strain.why.empty();
  strain.lasting = std::max(signs.busy, signs.starved);
  const bool cool = !signs.temperature_c || *signs.temperature_c <= kCoolC;
  strain.calm = !strain.high && !signs.waiting && cool && signs.stalled <= kStalledCalm &&
                signs.room_above;
  return strain;
}

bool Stepper::change(Millis now, uint32_t level) {
  level_ = level;
  changed_ = now;
  high_since_.reset();
  calm_since_.reset();
  return true;
}

bool Stepper::see(Millis now, const Strain& strain, uint32_t deepest) {
  if (after_ == Millis(0)) return false;
  if (seen_ && now - *seen_ > after_) {
    high_since_.reset();
    calm_since_.reset();
  }
  seen_ = now;
  if (!strain.high) high_since_.reset();
  if (!strain.calm) calm_since_.reset();
  if (strain.high && !high_since_) high_since_ = now;
  if (strain.calm && !calm_since_) calm_since_ = now;
  if (level_ > deepest) return change(now, deepest);
  if (changed_ && now - *changed_ < after_) return false;

  const bool pressed = strain.high && std::max(now - *high_since_, strain.lasting) >= after_;
  if (pressed && level_ < deepest) {
    const bool held = !risen_ || now - *risen_ >= kCalmTimes * patience_ * after_;
    patience_ = held ? 1 : std::min(2 * patience_, kCalmMost);
    return change(now, level_ + 1);
  }
  if (!strain.calm || level_ == 0) return false;
  if (now - *calm_since_ < kCalmTimes * patience_ * after_) return false;
  risen_ = now;
  return change(now, level_ - 1);
}

}  // namespace gantry
