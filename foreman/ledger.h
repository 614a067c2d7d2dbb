// The byte ledger: what each device may hold, and who holds how much. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace gantry {

struct Share {
  std::string device;
  Bytes bytes;
  // Words for who this is, and for those it is never beside on this device; one side says so.
  std::vector<std::string> is, never;
  bool whole = false;  // nobody beside it
  bool operator==(const Share&) const = default;
};
using Shares = std::vector<Share>;

// Whether two who both hold something may not be on one device.
bool clash(const Share& one, const Share& other);

// Bytes of all shares on one device.
Bytes on_device(const Shares& shares, const std::string& device);

// Invariant, checked after every change and kept in release builds: for each device the booked
// bytes are the sum of the grants and never more than the budget, and no two grants clash.
class Ledger {
 public:
  explicit Ledger(const Shares& budgets);

  // False when even an empty ledger has too little, or a device is not known. What others of this
  // machine lease comes and goes.
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
  Bytes room(const std::string& device) const;
  std::vector<Share> held(const std::string& device) const;
  // What all daemons of the machine together may lend of the device, and what others lend of it.
  void set_ceiling(const std::string& device, Bytes ceiling);
  void set_elsewhere(const std::string& device, Bytes bytes);
  Bytes elsewhere(const std::string& device) const;
  // kInternal naming the device when the invariant does not hold.
  [[nodiscard]] Result<void> verify() const;

 private:
  struct Account {
    Bytes budget, booked, elsewhere;
    std::optional<Bytes> ceiling;
  };
  std::map<std::string, Account> accounts_;
  std::map<int64_t, Shares> grants_;
};

}  // namespace gantry
