// The byte ledger: what each device may hold, and who holds how much. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace gantry {

struct Share {
  std::string device;
  Bytes bytes;
};
using Shares = std::vector<Share>;

// Bytes of all shares on one device.
Bytes on_device(const Shares& shares, const std::string& device);

// Invariant, checked after every change and kept in release builds: for each device the booked
// bytes are the sum of the grants and never more than the budget.
class Ledger {
 public:
  explicit Ledger(const Shares& budgets);

  // False when even an empty ledger has too little, or a device is not known.
  bool could_hold(const Shares& shares) const;
  bool has_room(const Shares& shares) const;

  // kDoesNotFit and no change when there is no room; kConflict when the token holds a grant.
  [[nodiscard]] Result<void> grant(int64_t token, const Shares& shares);
  // Adds to a grant what its holder has taken beyond it, as far as there is room. What was added.
  Bytes raise(int64_t token, const std::string& device, Bytes more);
  // kConflict when the token holds nothing.
  [[nodiscard]] Result<void> release(int64_t token);

  std::vector<std::string> devices() const;
  Bytes budget(const std::string& device) const;
  Bytes booked(const std::string& device) const;
  Bytes room(const std::string& device) const { return budget(device) - booked(device); }
  // kInternal naming the device when the invariant does not hold.
  [[nodiscard]] Result<void> verify() const;

 private:
  struct Account {
    Bytes budget, booked;
  };
  std::map<std::string, Account> accounts_;
  std::map<int64_t, Shares> grants_;
};

}  // namespace gantry
