// Heartbeats and limits.
#include "foreman/lease_book.h"

#include <algorithm>

#include "base/limits.h"

namespace gantry {

Result<void> LeaseBook::add(std::vector<LeaseRow> rows, Millis limit) {
  for (LeaseRow& row : rows) {
    row.granted = row.heartbeat = clock_.boot();
    if (limit > Millis{0}) row.deadline = row.granted + limit;
  }
  if (Result<void> added = store_.add_lease(rows); !added) return added;
  const std::lock_guard lock(mutex_);
  for (LeaseRow& row : rows) entries_.push_back({std::move(row), std::nullopt});
  return {};
}

void LeaseBook::take_over(const LeaseRow& row) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({row, std::nullopt});
}

Result<void> LeaseBook::remove(Token token) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [token](const Entry& entry) { return entry.row.token == token; });
  }
  return store_.remove_lease(token);
}

void LeaseBook::lift_limit(Token token) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.row.token == token) entry.row.deadline.reset();
  }
}

std::vector<LeaseRow> LeaseBook::rows() const {
  const std::lock_guard lock(mutex_);
  std::vector<LeaseRow> all;
  for (const Entry& entry : entries_) all.push_back(entry.row);
  return all;
}

Result<void> LeaseBook::beat() {
  std::vector<LeaseRow> seen = rows();
  const Millis now = clock_.boot();
  std::erase_if(seen, [this](const LeaseRow& row) {
    return os_.start_time(row.pid).value_or(0) != row.start_ticks;
  });
  if (seen.empty()) return {};
  for (LeaseRow& row : seen) row.heartbeat = now;
  {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : entries_) {
      const bool alive = std::ranges::any_of(seen, [&](const LeaseRow& row) {
        return row.token == entry.row.token && row.device == entry.row.device;
      });
      if (alive) entry.row.heartbeat = now;
    }
  }
  return store_.renew_leases(seen);
}

std::vector<std::pair<LeaseRow, LeaseBook::Say>> LeaseBook::late() {
  const Millis now = clock_.boot();
  std::vector<std::pair<LeaseRow, Say>> found;
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (!entry.row.program || !entry.row.deadline || *entry.row.deadline > now) continue;
    if (!entry.told) {
      entry.told = now;
      found.emplace_back(entry.row, Say::kTell);
    } else if (!entry.ended && now - *entry.told >= kLeaseGrace) {
      entry.ended = true;
      found.emplace_back(entry.row, Say::kEnd);
    }
  }
  return found;
}

bool LeaseBook::limits_programs() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(entries_, [](const Entry& entry) {
    return entry.row.program && entry.row.deadline && !entry.ended;
  });
}

}  // namespace gantry
