// Grants and releases of bytes.
#include "foreman/ledger.h"

#include <fmt/format.h>

#include <algorithm>

namespace gantry {

Bytes on_device(const Shares& shares, const std::string& device) {
  Bytes sum;
  for (const Share& share : shares) {
    if (share.device == device) sum += share.bytes;
  }
  return sum;
}

Ledger::Ledger(const Shares& budgets) {
  for (const Share& budget : budgets) accounts_[budget.device].budget += budget.bytes;
}

bool Ledger::could_hold(const Shares& shares) const {
  for (const Share& share : shares) {
    const auto account = accounts_.find(share.device);
    if (account == accounts_.end()) return false;
    if (on_device(shares, share.device) > account->second.budget) return false;
  }
  return true;
}

bool Ledger::has_room(const Shares& shares) const {
  if (!could_hold(shares)) return false;
  for (const Share& share : shares) {
    if (on_device(shares, share.device) > room(share.device)) return false;
  }
  return true;
}

Result<void> Ledger::grant(int64_t token, const Shares& shares) {
  if (grants_.contains(token)) {
    return fail(Code::kConflict, fmt::format("lease {} already holds its bytes", token));
  }
  if (!has_room(shares)) return fail(Code::kDoesNotFit, "the ledger has no room for these bytes");
  for (const Share& share : shares) accounts_[share.device].booked += share.bytes;
  grants_.emplace(token, shares);
  return verify();
}

Bytes Ledger::raise(int64_t token, const std::string& device, Bytes more) {
  const auto grant = grants_.find(token);
  if (grant == grants_.end()) return {};
  const Bytes added = std::min(more, room(device));
  if (added == Bytes{}) return {};
  grant->second.push_back({device, added});
  accounts_[device].booked += added;
  return added;
}

Result<void> Ledger::release(int64_t token) {
  const auto grant = grants_.find(token);
  if (grant == grants_.end()) {
    return fail(Code::kConflict, fmt::format("lease {} holds no bytes", token));
  }
  for (const Share& share : grant->second) accounts_[share.device].booked -= share.bytes;
  grants_.erase(grant);
  return verify();
}

std::vector<std::string> Ledger::devices() const {
  std::vector<std::string> names;
  for (const auto& [device, account] : accounts_) names.push_back(device);
  return names;
}

Bytes Ledger::budget(const std::string& device) const {
  const auto account = accounts_.find(device);
  return account == accounts_.end() ? Bytes{} : account->second.budget;
}

Bytes Ledger::booked(const std::string& device) const {
  const auto account = accounts_.find(device);
  return account == accounts_.end() ? Bytes{} : account->second.booked;
}

Result<void> Ledger::verify() const {
  for (const auto& [device, account] : accounts_) {
    Bytes sum;
    for (const auto& [token, shares] : grants_) sum += on_device(shares, device);
    if (sum != account.booked || account.booked > account.budget) {
      return fail(Code::kInternal, fmt::format("ledger of {}: {} booked, {} granted, {} budget",
                                               device, account.booked.n, sum.n, account.budget.n));
    }
  }
  return {};
}

}  // namespace gantry
