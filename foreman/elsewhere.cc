// Bytes that other daemons and programs of this machine lease.
#include <unistd.h>

#include <algorithm>

#include "foreman/instance.h"

namespace gantry {

std::vector<SharedLease> Scheduler::elsewhere() {
  const std::lock_guard lock(mutex_);
  if (options_.shared != nullptr && look_elsewhere_locked()) dispatch_locked();
  return elsewhere_;
}

// Those of devices that we do not have are none of ours.
bool Scheduler::look_elsewhere_locked() {
  std::vector<SharedLease> now;
  for (SharedLease& lease : options_.shared->others()) {
    const auto known = std::ranges::find_if(
        options_.identities, [&](const auto& pair) { return pair.second == lease.device; });
    if (known == options_.identities.end()) continue;
    lease.device = known->first;
    now.push_back(std::move(lease));
  }
  if (now == elsewhere_) return false;
  elsewhere_ = std::move(now);
  for (const std::string& device : ledger_.devices()) {
    Bytes sum;
    bool whole = false;
    for (const SharedLease& lease : elsewhere_) {
      if (lease.device != device) continue;
      sum += lease.bytes;
      whole = whole || lease.whole;
    }
    ledger_.set_elsewhere(device, whole ? Bytes{UINT64_MAX} : sum);
  }
  return true;
}

// Only to give bytes. Where somebody keeps the lock for himself we go on without it: what he may
// lose by that is a race, what we would lose is everything.
std::unique_ptr<FileLock> Scheduler::lock_elsewhere_locked(const Moves& moves) {
  if (options_.shared == nullptr) return nullptr;
  const bool bytes = std::ranges::any_of(moves.serve, [&](uint64_t id) {
    return std::ranges::any_of(line_, [id](const Request* request) {
      return request->waiter.id == id && request->model == nullptr;
    });
  });
  if (moves.load.empty() && !bytes) return nullptr;
  Result<std::unique_ptr<FileLock>> lock = options_.shared->lock();
  if (lock) return std::move(*lock);
  options_.log->warn("lease_folder", {{"error", lock.error().message}});
  return nullptr;
}

// `pid` 0: our own, until somebody holds it.
void Scheduler::tell_locked(Token token, const std::string& name, const Shares& shares, int pid) {
  if (options_.shared == nullptr) return;
  SharedLease lease;
  lease.pid = pid == 0 ? ::getpid() : pid;
  lease.start_ticks = options_.os->start_time(lease.pid).value_or(0);
  lease.token = token;
  lease.program = name;
  for (const Share& share : shares) {
    const auto identity = options_.identities.find(share.device);
    if (identity == options_.identities.end() || share.bytes == Bytes{}) continue;
    lease.device = identity->second;
    lease.bytes = share.bytes;
    lease.whole = share.whole;
    if (Result<void> told = options_.shared->put(lease); !told) {
      options_.log->warn("lease_folder", {{"error", told.error().message}});
    }
  }
}

void Scheduler::give_back_locked(Token token) {
  if (Result<void> released = ledger_.release(token); !released) {
    options_.log->error("ledger", {{"error", released.error().message}});
  }
  if (options_.shared != nullptr) options_.shared->drop(token);
}

// What they have not taken yet is not free, though the system says so.
Bytes Scheduler::promised_elsewhere_locked(const LiveDevice& device) {
  Bytes sum;
  for (const SharedLease& lease : elsewhere_) {
    if (lease.device != device.device) continue;
    sum += lease.bytes - taken_of(*options_.os, lease.bytes, lease.pid, lease.device,
                                  device.holders);
  }
  return sum;
}

}  // namespace gantry
