// Reading times.
#include "apps/moment.h"

#include <charconv>
#include <ctime>
#include <optional>

namespace gantry {

namespace {

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || text.empty() || value < 0) return std::nullopt;
  return value;
}

std::optional<WallTime> from_now(std::string_view text, WallTime now) {
  const std::optional<int64_t> count = whole_number(text.substr(0, text.size() - 1));
  constexpr int64_t kDaysMax = 3660;
  int64_t seconds = 0;
  switch (text.back()) {
    case 's': seconds = 1; break;
    case 'm': seconds = 60; break;
    case 'h': seconds = 3600; break;
    case 'd': seconds = 86'400; break;
    default: return std::nullopt;
  }
  if (!count || *count > kDaysMax * 86'400 / seconds) return std::nullopt;
  return now + std::chrono::seconds(*count * seconds);
}

std::optional<WallTime> next_time_of_day(std::string_view text, WallTime now) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const std::optional<int64_t> hour = whole_number(text.substr(0, 2));
  const std::optional<int64_t> minute = whole_number(text.substr(3));
  if (!hour || !minute || *hour > 23 || *minute > 59) return std::nullopt;
  const std::time_t today = std::chrono::duration_cast<std::chrono::seconds>(
                                now.time_since_epoch()).count();
  std::tm local{};
  localtime_r(&today, &local);
  for (int day = 0; day < 2; ++day) {
    std::tm then = local;
    then.tm_mday += day;
    then.tm_hour = static_cast<int>(*hour);
    then.tm_min = static_cast<int>(*minute);
    then.tm_sec = 0;
    then.tm_isdst = -1;  // whatever holds on that day
    const WallTime time(std::chrono::seconds(std::mktime(&then)));
    if (time > now) return time;
  }
  return std::nullopt;
}

}  // namespace

Result<WallTime> parse_moment(const std::string& text, WallTime now) {
  std::optional<WallTime> time = parse_time(text);
  if (!time && text.size() > 2 && text.front() == '+') {
    time = from_now(std::string_view(text).substr(1), now);
  }
  if (!time) time = next_time_of_day(text, now);
  if (time) return *time;
  return fail(Code::kUsage, text + " is no time", "write 22:00, +90m or 2026-01-31T22:00:00Z");
}

}  // namespace gantry
