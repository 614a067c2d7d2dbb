// The queue's copies: made while the daemon runs, brought back while none does.
//
// A backup is a folder: gantry.db, jobs/ID/ with results and checkpoints, and inputs/, as in a
// state directory. Only what the copied rows name counts; what else lies there is harmless.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/os.h"
#include "foreman/store.h"

namespace gantry {

// Into `dir`, which must not be there yet; nothing is pruned meanwhile. kUsage where it is;
// kDiskFull, kIo.
[[nodiscard]] Result<void> write_backup(Os& os, Store& store, const std::string& state_dir,
                                        const std::string& dir);

struct Restored {
  JobTally jobs;
  std::string replaced;  // where the queue that was there lies now; empty: there was none
};

// Into `state_dir`, with a token epoch above the backup's, above that of the queue it replaces and
// above any that was given before now. A queue that is there is moved aside with `replace`, else
// kUsage. kBusy while a daemon runs, kCorrupt for what is no backup.
[[nodiscard]] Result<Restored> restore_backup(Os& os, const Clock& clock, const std::string& dir,
                                              const std::string& state_dir, bool replace);

}  // namespace gantry
