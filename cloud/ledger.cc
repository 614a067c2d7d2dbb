// A locked file of one line.
#include "cloud/ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/os.h"

namespace gantry {

namespace {

constexpr size_t kDayLength = 10;  // "2026-01-31"

std::string day_of(WallTime now) { return format_time(now).substr(0, kDayLength); }

class LockedFile {
 public:
  explicit LockedFile(const std::string& path) : path_(path) {
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ >= 0 && ::flock(fd_, LOCK_EX) != 0) close();
  }
  ~LockedFile() { close(); }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  // Spent on `day`; nothing of other days counts.
  Result<Money> read(const std::string& day) {
    if (fd_ < 0) return fail(os_error("cannot open " + path_, errno));
    std::array<char, 64> bytes{};
    const ssize_t n = ::pread(fd_, bytes.data(), bytes.size(), 0);
    if (n < 0) return fail(os_error("cannot read " + path_, errno));
    const std::string_view text(bytes.data(), static_cast<size_t>(n));
    if (text.empty()) return Money{};
    Money money;
    const bool shaped = text.size() > kDayLength + 2 && text[kDayLength] == ' ' &&
                        text.back() == '\n';
    const char* end = text.data() + text.size() - 1;
    const auto [at, error] =
        shaped ? std::from_chars(text.data() + kDayLength + 1, end, money.micros)
               : std::from_chars_result{nullptr, std::errc::invalid_argument};
    if (error != std::errc{} || at != end || money.micros < 0) {
      return fail(Code::kCorrupt, path_ + " does not say what was spent",
                  "look into it; remove it when today's spending is known");
    }
    return text.starts_with(day) ? money : Money{};
  }

  Result<void> write(const std::string& day, Money money) {
    const std::string text = fmt::format("{} {}\n", day, money.micros);
    // Longer first, so that whatever a crash leaves is no smaller sum of another shape.
    const ssize_t n = ::pwrite(fd_, text.data(), text.size(), 0);
    if (n != static_cast<ssize_t>(text.size()) ||
        ::ftruncate(fd_, static_cast<off_t>(text.size())) != 0 || ::fsync(fd_) != 0) {
      return fail(os_error("cannot write " + path_, errno));
    }
    return {};
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  const std::string& path_;
  int fd_ = -1;
};

}  // namespace

Money dollars(double amount) { return {static_cast<int64_t>(std::ceil(amount * 1e6))}; }

std::string money_text(Money money) {
  return fmt::format("${:.2f}", static_cast<double>(money.micros) / 1e6);
}

Result<void> Ledger::take(Money money, WallTime now) {
  LockedFile file(path_);
  Result<Money> spent = file.read(day_of(now));
  if (!spent) return fail(spent.error());
  if (spent->micros > cap_.micros - money.micros) {
    return fail(Code::kPermission,
                fmt::format("{} of today's {} are spent, and this may cost {}", money_text(*spent),
                            money_text(cap_), money_text(money)),
                "wait for tomorrow (UTC), ask for fewer tokens, or raise --spend-max");
  }
  return file.write(day_of(now), {spent->micros + money.micros});
}

Result<void> Ledger::give_back(Money money, WallTime taken, WallTime now) {
  if (day_of(taken) != day_of(now)) return {};
  LockedFile file(path_);
  Result<Money> spent = file.read(day_of(now));
  if (!spent) return fail(spent.error());
  return file.write(day_of(now), {std::max<int64_t>(0, spent->micros - money.micros)});
}

Result<Money> Ledger::spent(WallTime now) {
  LockedFile file(path_);
  return file.read(day_of(now));
}

}  // namespace gantry
