// A lease as other daemons and programs of the machine read it: one small JSON file each, in a
// folder that all users share (docs/queue.md, "Other daemons"). Pure; the bytes are not trusted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace gantry {

constexpr Bytes kLeaseFileMax = KiB(4);

struct SharedLease {
  std::string device;  // "host", "pci:0000:01:00.0", or "name:CUDA0" where the bus is not known
  Bytes bytes;
  bool whole = false;  // nobody else on the device
  int pid = 0;         // who holds it
  uint64_t start_ticks = 0;  // of that process, since the boot
  std::string boot_id;
  uint32_t uid = 0;     // of the file's owner
  int64_t token = 0;    // of a daemon's own counting; others may leave it out
  std::string program;  // for a person
  std::string daemon;   // which daemon gave it; empty: none
  bool operator==(const SharedLease&) const = default;
};

// kCorrupt naming the field, kTooLarge over kLeaseFileMax, kUnsupported for another version.
[[nodiscard]] Result<SharedLease> parse_lease(std::string_view text);
std::string lease_text(const SharedLease& lease);

}  // namespace gantry
