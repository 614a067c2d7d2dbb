// What was spent today, in a file that all relays of a user share.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace gantry {

// Millionths of a dollar, so that sums are exact.
struct Money {
  int64_t micros = 0;
  auto operator<=>(const Money&) const = default;
};
Money dollars(double amount);
std::string money_text(Money money);  // "$1.25"

// The file holds "2026-01-31 1250000\n": the day in UTC and what was spent on it. Each change is
// made under a lock on the file and synced before the call returns, so two relays never spend the
// same dollar; a relay that is killed leaves what it had taken as spent.
class Ledger {
 public:
  Ledger(std::string path, Money cap) : path_(std::move(path)), cap_(cap) {}

  // Takes so much of today's rest. kPermission: the cap would be passed; kIo, kCorrupt: nothing is
  // spent while the file cannot be trusted.
  [[nodiscard]] Result<void> take(Money money, WallTime now);
  // Gives back what was not needed after all; on a later day there is nothing to give back to.
  [[nodiscard]] Result<void> give_back(Money money, WallTime taken, WallTime now);
  [[nodiscard]] Result<Money> spent(WallTime now);

 private:
  const std::string path_;
  const Money cap_;
};

}  // namespace gantry
