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

struct Leftovers {
  std::vector<LeaseRow> stuck;     // would not die within kWorkerStopMax: their bytes are gone
  std::vector<LeaseRow> programs;  // of the user's, that go on with what they were given
};

// Kills the workers whom the recorded leases name, where pid, start time and boot are still the
// same, and removes the rows of all who have ended.
[[nodiscard]] Result<Leftovers> end_leftovers(Os& os, Store& store, Log& log);

}  // namespace gantry
