// Control groups for workers, where the system lets us make any: a memory limit, a share of the
// processor, and the certainty that nothing of a worker is left, not even what has left its process
// group. Version 2, or 1 with its memory and cpu controllers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"

namespace gantry {

struct CgroupLimits {
  Bytes memory;              // 0: none
  uint32_t cpu_percent = 0;  // of the share a process has by default; 0: unchanged
};

// One worker's. Destroying it removes the group, which must be empty.
class Cgroup {
 public:
  virtual ~Cgroup() = default;
  // True once no process is left in it; until then everything in it is killed.
  virtual bool clear(Millis patience) = 0;
  virtual bool limits_memory() const = 0;
};

class Cgroups {
 public:
  virtual ~Cgroups() = default;
  // A group of its own for a process and its children to come. Null where that does not work.
  virtual std::unique_ptr<Cgroup> put(int pid, std::string_view name,
                                      const CgroupLimits& limits) = 0;
};

// Null where no group can be made: workers are then held by their process group alone. The paths
// are parameters for tests.
std::unique_ptr<Cgroups> open_cgroups(const std::string& mounted = "/sys/fs/cgroup",
                                      const std::string& own = "/proc/self/cgroup");

}  // namespace gantry
