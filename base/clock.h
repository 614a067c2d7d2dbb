// Time comes in as a parameter, so that tests can hold it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace gantry {

using Millis = std::chrono::milliseconds;
using WallTime = std::chrono::sys_time<Millis>;  // UTC

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Millis steady() const = 0;  // never goes back; for durations
  virtual WallTime wall() const = 0;  // may jump; for records that people read
  // Since the machine was started, its sleep included: what outlives this process is timed by it.
  virtual Millis boot() const { return steady(); }
};

class RealClock final : public Clock {
 public:
  Millis steady() const override;
  WallTime wall() const override;
  Millis boot() const override;
};

// A clock that moves only when told to. Not thread-safe.
class FakeClock final : public Clock {
 public:
  Millis steady() const override { return now_; }
  WallTime wall() const override { return WallTime(now_); }
  void advance(Millis by) { now_ += by; }

 private:
  Millis now_{0};
};

// "2026-01-31T09:15:04.123Z"
std::string format_time(WallTime time);
// The same, without a fraction or seconds too, and with +01:00 for Z; nothing for other text and
// for times before 1970 or after 9999.
std::optional<WallTime> parse_time(std::string_view text);

}  // namespace gantry
