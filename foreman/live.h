// What may be taken of each device this very moment: other programs come and go after the audit.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "audit/machine.h"
#include "config/config.h"
#include "foreman/ledger.h"

namespace gantry {

struct LiveDevice {
  std::string device;  // "cpu" stands for host memory
  Bytes free;          // less the reserve
  std::vector<Holder> holders;  // as far as the system tells; host memory: see largest_holder
  bool hot = false;             // slower now for its heat, as its driver says
  std::optional<double> temperature_c = {};  // of the processor
  double stalled = 0;  // of host memory: per cent of the last 10 s in which something waited for it
};

// Thread-safe.
class Live {
 public:
  virtual ~Live() = default;
  // The devices named, as they are now; those that cannot be asked are left out. Reading host
  // memory takes a millisecond; accelerators are asked in a process of their own, and only where
  // one is named.
  virtual std::vector<LiveDevice> look(const std::vector<std::string>& devices) = 0;
  // Of host memory: the program that holds most, besides ourselves and `ours`.
  virtual std::optional<Holder> largest_holder(const std::set<int>& ours) = 0;
};

// `machine` says which accelerators there are, `config` what is left to others; both outlive it.
std::unique_ptr<Live> real_live(Os& os, const Machine& machine, const Config& config,
                                const std::string& worker_exe);

// Resident bytes of any user's process: cheap to read, unlike PSS. None where it is gone.
Bytes resident_bytes(Os& os, int pid);
// What of a lease is taken already, as the system shows it, and so is not free any more.
Bytes taken_of(Os& os, Bytes leased, int pid, const std::string& device,
               const std::vector<Holder>& holders);

// What the user leaves to others on one device.
Bytes reserve_of(const Config& config, const std::string& device, Bytes total);
// The machine as it may be planned with: free memory less the reserves.
Machine without_reserve(Machine machine, const Config& config);

}  // namespace gantry
