// The store's leases: who holds which bytes.
#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

Result<void> Store::add_lease(const std::vector<LeaseRow>& rows) {
  return write("lease", "record the lease", [&]() -> Result<void> {
    for (const LeaseRow& row : rows) {
      Result<void> added =
          database_
              ->prepare("INSERT INTO leases(token, device, bytes, model, program)"
                        " VALUES(?,?,?,?,?)",
                        "record the lease")
              .bind(row.token).bind(row.device).bind(static_cast<int64_t>(row.bytes.n))
              .bind(row.model).bind(row.program ? 1 : 0).run();
      if (!added) return added;
    }
    return {};
  });
}

Result<void> Store::bind_lease(Token token, int pid, uint64_t start_ticks,
                               const std::string& boot_id) {
  return write("bind", "record the lease's holder", [&] {
    return database_
        ->prepare("UPDATE leases SET pid=?, start_ticks=?, boot_id=? WHERE token=?",
                  "record the lease's holder")
        .bind(pid).bind(static_cast<int64_t>(start_ticks)).bind(boot_id).bind(token).run();
  });
}

Result<void> Store::remove_lease(Token token) {
  return write("release", "end the lease", [&] {
    return database_->prepare("DELETE FROM leases WHERE token=?", "end the lease")
        .bind(token).run();
  });
}

Result<std::vector<LeaseRow>> Store::leases() {
  const std::lock_guard lock(mutex_);
  std::vector<LeaseRow> rows;
  Statement row = database_->prepare(
      "SELECT token, device, bytes, model, pid, start_ticks, boot_id, program FROM leases"
      " ORDER BY token, device", "read the leases");
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return rows;
    rows.push_back({row.integer(0), row.text(1), Bytes{static_cast<uint64_t>(row.integer(2))},
                    row.text(3), static_cast<int>(row.integer(4)),
                    static_cast<uint64_t>(row.integer(5)), row.text(6), row.integer(7) != 0});
  }
}

}  // namespace gantry
