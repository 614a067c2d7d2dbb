// The store's leases: who holds which bytes.
#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

namespace {

Statement& bind_deadline(Statement& statement, const LeaseRow& row) {
  return row.deadline ? statement.bind(row.deadline->count()) : statement.bind_null();
}

}  // namespace

Result<void> Store::add_lease(const std::vector<LeaseRow>& rows) {
  return write("lease", "record the lease", [&]() -> Result<void> {
    for (const LeaseRow& row : rows) {
      Statement insert = database_->prepare(
          "INSERT INTO leases(token, device, bytes, model, pid, start_ticks, boot_id, program,"
          " whole, granted, heartbeat, deadline) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
          "record the lease");
      insert.bind(row.token).bind(row.device).bind(static_cast<int64_t>(row.bytes.n))
          .bind(row.model).bind(row.pid).bind(static_cast<int64_t>(row.start_ticks))
          .bind(row.boot_id).bind(row.program ? 1 : 0).bind(row.whole ? 1 : 0)
          .bind(row.granted.count()).bind(row.heartbeat.count());
      if (Result<void> added = bind_deadline(insert, row).run(); !added) return added;
    }
    return {};
  });
}

Result<void> Store::renew_leases(const std::vector<LeaseRow>& rows) {
  return write("heartbeat", "renew the leases", [&]() -> Result<void> {
    for (const LeaseRow& row : rows) {
      Statement update = database_->prepare(
          "UPDATE leases SET heartbeat=?1, deadline=?4 WHERE token=?2 AND device=?3",
          "renew the lease");
      update.bind(row.heartbeat.count()).bind(row.token).bind(row.device);
      if (Result<void> done = bind_deadline(update, row).run(); !done) return done;
    }
    return {};
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
      "SELECT token, device, bytes, model, pid, start_ticks, boot_id, program, whole, granted,"
      " heartbeat, deadline FROM leases ORDER BY token, device", "read the leases");
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return rows;
    rows.push_back({row.integer(0), row.text(1), Bytes{static_cast<uint64_t>(row.integer(2))},
                    row.text(3), static_cast<int>(row.integer(4)),
                    static_cast<uint64_t>(row.integer(5)), row.text(6), row.integer(7) != 0,
                    row.integer(8) != 0, Millis(row.integer(9)), Millis(row.integer(10)),
                    row.is_null(11) ? std::nullopt : std::optional(Millis(row.integer(11)))});
  }
}

}  // namespace gantry
