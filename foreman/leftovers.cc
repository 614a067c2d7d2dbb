// Finding and ending the leftovers.
#include "foreman/leftovers.h"

#include <signal.h>

#include <set>

#include "base/limits.h"

namespace gantry {

namespace {

constexpr Millis kPoll{5};

bool is_holder(Os& os, const LeaseRow& row, const std::string& boot_id) {
  // Never 0, 1 or negative: to kill(2) those mean groups, init or everybody.
  if (row.pid <= 1 || row.start_ticks == 0 || boot_id.empty() || row.boot_id != boot_id) {
    return false;
  }
  return os.start_time(row.pid).value_or(0) == row.start_ticks;
}

// A dead child that nobody reaps still has a start time, but no memory.
bool ended(Os& os, const LeaseRow& row, const std::string& boot_id) {
  for (Millis waited{0}; waited < kWorkerStopMax; waited += kPoll) {
    if (!is_holder(os, row, boot_id) || !os.pss(row.pid)) return true;
    os.sleep(kPoll);
  }
  return false;
}

}  // namespace

std::string read_boot_id(Os& os) {
  std::string id = os.read_file("/proc/sys/kernel/random/boot_id", KiB(1)).value_or("");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

Result<Leftovers> end_leftovers(Os& os, Store& store, Log& log) {
  Result<std::vector<LeaseRow>> rows = store.leases();
  if (!rows) return fail(rows.error());
  const std::string boot_id = read_boot_id(os);
  for (const LeaseRow& row : *rows) {
    if (row.program || !is_holder(os, row, boot_id)) continue;
    log.warn("leftover", {{"model", row.model}, {"pid", std::to_string(row.pid)}});
    os.kill_group(row.pid, row.start_ticks, SIGKILL);  // workers lead a group of their own
  }
  Leftovers left;
  std::set<Token> gone;
  for (const LeaseRow& row : *rows) {
    if (row.program && is_holder(os, row, boot_id) && os.pss(row.pid)) {
      log.info("program_adopted", {{"program", row.model}, {"pid", std::to_string(row.pid)}});
      left.programs.push_back(row);
    } else if (!ended(os, row, boot_id)) {
      log.error("leftover_stays", {{"model", row.model}, {"pid", std::to_string(row.pid)}});
      left.stuck.push_back(row);
    } else if (gone.insert(row.token).second) {
      if (Result<void> removed = store.remove_lease(row.token); !removed) {
        return fail(removed.error());
      }
    }
  }
  return left;
}

}  // namespace gantry
