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

namespace {

bool meet(const std::vector<std::string>& words, const std::vector<std::string>& others) {
  return std::ranges::any_of(words, [&](const std::string& word) {
    return std::ranges::find(others, word) != others.end();
  });
}

}  // namespace

bool clash(const Share& one, const Share& other) {
  if (one.device != other.device || one.bytes == Bytes{} || other.bytes == Bytes{}) return false;
  return one.whole || other.whole || meet(one.is, other.never) || meet(other.is, one.never);
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
    if (share.whole && elsewhere(share.device) > Bytes{}) return false;
    for (const auto& [token, held] : grants_) {
      for (const Share& other : held) {
        if (clash(share, other)) return false;
      }
    }
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

Bytes Ledger::room(const std::string& device) const {
  const auto found = accounts_.find(device);
  if (found == accounts_.end()) return {};
  const Account& account = found->second;
  const Bytes own = account.budget - account.booked;
  if (!account.ceiling) return own;
  return std::min(own, *account.ceiling - account.elsewhere - account.booked);
}

std::vector<Share> Ledger::held(const std::string& device) const {
  std::vector<Share> all;
  for (const auto& [token, shares] : grants_) {
    for (const Share& share : shares) {
      if (share.device == device) all.push_back(share);
    }
  }
  return all;
}

void Ledger::set_ceiling(const std::string& device, Bytes ceiling) {
  const auto found = accounts_.find(device);
  if (found != accounts_.end()) found->second.ceiling = ceiling;
}

void Ledger::set_elsewhere(const std::string& device, Bytes bytes) {
  const auto found = accounts_.find(device);
  if (found != accounts_.end()) found->second.elsewhere = bytes;
}

Bytes Ledger::elsewhere(const std::string& device) const {
  const auto account = accounts_.find(device);
  return account == accounts_.end() ? Bytes{} : account->second.elsewhere;
}

Result<void> Ledger::verify() const {
  for (auto one = grants_.begin(); one != grants_.end(); ++one) {
    for (auto other = std::next(one); other != grants_.end(); ++other) {
      for (const Share& a : one->second) {
        for (const Share& b : other->second) {
          if (!clash(a, b)) continue;
          return fail(Code::kInternal, fmt::format("leases {} and {} are both on {}", one->first,
                                                   other->first, a.device));
        }
      }
    }
  }
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
