// Processes of a daemon that died: ended before their bytes are granted again.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/os.h"
#include "foreman/store.h"

namespace gantry {

// Changes at every boot: with it, a process id and its start time mean one process for ever.
std::string read_boot_id(Os& os);

// Kills whom the recorded leases name, where pid, start time and boot are still the same, and
// removes their rows. What is returned would not die within kWorkerStopMax: its bytes are gone.
[[nodiscard]] Result<std::vector<LeaseRow>> end_leftovers(Os& os, Store& store, Log& log);

}  // namespace gantry
