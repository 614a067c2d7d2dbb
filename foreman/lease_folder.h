// The leases of all daemons and programs of the machine, whoever's they are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/os.h"
#include "foreman/lease_file.h"

namespace gantry {

// What this daemon tells others, and what it hears. One thread at a time.
class LeaseFolder {
 public:
  virtual ~LeaseFolder() = default;
  // Leases of others whose holders live, with the devices' names in the protocol.
  virtual std::vector<SharedLease> others() = 0;
  // Tells of a lease, or tells it anew: one of each token and device. uid, boot_id and daemon are
  // filled in.
  [[nodiscard]] virtual Result<void> put(const SharedLease& lease) = 0;
  virtual void drop(int64_t token) = 0;
  // Removes what an earlier run of this daemon left: after what lives on of it was told anew, so
  // that it counts at every moment.
  virtual void clean() = 0;
  // Between others() and put() nobody else does the same. kBusy when it cannot be had for
  // kLeaseLockMax: somebody stopped, or means ill.
  [[nodiscard]] virtual Result<std::unique_ptr<FileLock>> lock() = 0;
};

constexpr Millis kLeaseLockMax{1'000};
constexpr size_t kLeaseFilesMax = 1'024;

// The folder is made where it is not there, for everybody to write into (mode 1777). kUsage for a
// folder in which one user may remove what another one wrote. `daemon` tells this one from others
// of the same user, and is the same when it is started again.
[[nodiscard]] Result<std::unique_ptr<LeaseFolder>> open_lease_folder(Os& os,
                                                                     const std::string& path,
                                                                     const std::string& boot_id,
                                                                     const std::string& daemon);

}  // namespace gantry
