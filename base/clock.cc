// The real clock.
#include "base/clock.h"

#include <fmt/format.h>

#include <ctime>

namespace gantry {

Millis RealClock::steady() const {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch());
}

WallTime RealClock::wall() const {
  return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
}

Millis RealClock::boot() const {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::duration_cast<Millis>(std::chrono::seconds(now.tv_sec) +
                                            std::chrono::nanoseconds(now.tv_nsec));
}

std::string format_time(WallTime time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const std::time_t unix_seconds = seconds.count();
  std::tm utc{};
  gmtime_r(&unix_seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     (since - seconds).count());
}

namespace {

// Digits from the front of the text, exactly so many, as a number in [low, high].
std::optional<int> take(std::string_view* text, size_t digits, int low, int high) {
  int value = 0;
  if (text->size() < digits) return std::nullopt;
  for (size_t i = 0; i < digits; ++i) {
    const char c = (*text)[i];
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text->remove_prefix(digits);
  if (value < low || value > high) return std::nullopt;
  return value;
}

bool take(std::string_view* text, char expected) {
  if (!text->starts_with(expected)) return false;
  text->remove_prefix(1);
  return true;
}

// ".5", ".123"; three digits count.
std::optional<Millis> take_fraction(std::string_view* text) {
  int value = 0, scale = 100;
  size_t digits = 0;
  while (digits < text->size() && (*text)[digits] >= '0' && (*text)[digits] <= '9') {
    value += ((*text)[digits] - '0') * scale;
    scale /= 10;
    ++digits;
  }
  text->remove_prefix(digits);
  if (digits == 0) return std::nullopt;
  return Millis(value);
}

// "Z", "+01:00"; what has to be taken off to get UTC.
std::optional<Millis> take_zone(std::string_view* text) {
  if (take(text, 'Z')) return Millis(0);
  const bool east = text->starts_with('+');
  if (!take(text, east ? '+' : '-')) return std::nullopt;
  const auto hours = take(text, 2, 0, 23);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take(text, 2, 0, 59);
  if (!minutes) return std::nullopt;
  const Millis offset = std::chrono::minutes(*hours * 60 + *minutes);
  return east ? offset : -offset;
}

}  // namespace

std::optional<WallTime> parse_time(std::string_view text) {
  const auto year = take(&text, 4, 1970, 9999);
  if (!year || !take(&text, '-')) return std::nullopt;
  const auto month = take(&text, 2, 1, 12);
  if (!month || !take(&text, '-')) return std::nullopt;
  const auto day = take(&text, 2, 1, 31);
  if (!day || !take(&text, 'T')) return std::nullopt;
  const auto hour = take(&text, 2, 0, 23);
  if (!hour || !take(&text, ':')) return std::nullopt;
  const auto minute = take(&text, 2, 0, 59);
  if (!minute) return std::nullopt;
  Millis rest = std::chrono::minutes(*hour * 60 + *minute);
  if (take(&text, ':')) {
    const auto second = take(&text, 2, 0, 60);
    if (!second) return std::nullopt;
    rest += std::chrono::seconds(*second);
    if (take(&text, '.')) {
      const auto fraction = take_fraction(&text);
      if (!fraction) return std::nullopt;
      rest += *fraction;
    }
  }
  const auto zone = take_zone(&text);
  if (!zone || !text.empty()) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const WallTime time = std::chrono::sys_days(date) + rest - *zone;
  if (time < WallTime{}) return std::nullopt;
  return time;
}

}  // namespace gantry
