// The store's leases and measurements: who holds which bytes, and what models were seen to need.
#include <fmt/format.h>

#include "foreman/database.h"
#include "foreman/store.h"

namespace gantry {

Result<void> Store::add_lease(const std::vector<LeaseRow>& rows) {
  const std::lock_guard lock(mutex_);
  return write("lease", "record the lease", [&]() -> Result<void> {
    for (const LeaseRow& row : rows) {
      Result<void> added =
          database_
              ->prepare("INSERT INTO leases(token, device, bytes, model) VALUES(?,?,?,?)",
                        "record the lease")
              .bind(row.token).bind(row.device).bind(static_cast<int64_t>(row.bytes.n))
              .bind(row.model).run();
      if (!added) return added;
    }
    return {};
  });
}

Result<void> Store::bind_lease(Token token, int pid, uint64_t start_ticks,
                               const std::string& boot_id) {
  const std::lock_guard lock(mutex_);
  return write("bind", "record the lease's holder", [&] {
    return database_
        ->prepare("UPDATE leases SET pid=?, start_ticks=?, boot_id=? WHERE token=?",
                  "record the lease's holder")
        .bind(pid).bind(static_cast<int64_t>(start_ticks)).bind(boot_id).bind(token).run();
  });
}

Result<void> Store::remove_lease(Token token) {
  const std::lock_guard lock(mutex_);
  return write("release", "end the lease", [&] {
    return database_->prepare("DELETE FROM leases WHERE token=?", "end the lease")
        .bind(token).run();
  });
}

Result<std::vector<LeaseRow>> Store::leases() {
  const std::lock_guard lock(mutex_);
  std::vector<LeaseRow> rows;
  Statement row = database_->prepare(
      "SELECT token, device, bytes, model, pid, start_ticks, boot_id FROM leases"
      " ORDER BY token, device", "read the leases");
  for (;;) {
    Result<bool> more = row.next();
    if (!more) return fail(more.error());
    if (!*more) return rows;
    rows.push_back({row.integer(0), row.text(1), Bytes{static_cast<uint64_t>(row.integer(2))},
                    row.text(3), static_cast<int>(row.integer(4)),
                    static_cast<uint64_t>(row.integer(5)), row.text(6)});
  }
}

Result<void> Store::record_measured(const std::string& fingerprint, const std::string& model,
                                    Bytes peak) {
  const std::lock_guard lock(mutex_);
  return write("measured", "record a measurement", [&] {
    return database_
        ->prepare("INSERT INTO measured(fingerprint, model, peak) VALUES(?,?,?)"
                  " ON CONFLICT(fingerprint) DO UPDATE SET peak=max(peak, excluded.peak)",
                  "record a measurement")
        .bind(fingerprint).bind(model).bind(static_cast<int64_t>(peak.n)).run();
  });
}

Result<std::optional<Bytes>> Store::measured(const std::string& fingerprint) {
  const std::lock_guard lock(mutex_);
  Statement row = database_->prepare("SELECT peak FROM measured WHERE fingerprint=?",
                                     "read a measurement");
  Result<bool> found = row.bind(fingerprint).next();
  if (!found) return fail(found.error());
  if (!*found) return std::nullopt;
  return Bytes{static_cast<uint64_t>(row.integer(0))};
}

}  // namespace gantry
